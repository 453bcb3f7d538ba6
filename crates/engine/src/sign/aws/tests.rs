use super::*;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign as aws_sign},
    sign::v4::SigningParams,
};
use proptest::prelude::*;
use std::time::{Duration, UNIX_EPOCH};

/// 30 August 2015, 12:36:00, the moment of AWS's published examples.
const MOMENT: u64 = 1_440_938_160;

fn credentials(session: Option<&str>) -> Credentials {
    Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session: session.map(Secret::new),
    }
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(HeaderName, HeaderValue)> {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// The signature of AWS's example service in its example region.
fn signature(method: &str, uri: &str, given: &[(&str, &str)], body: &[u8], session: Option<&str>) -> String {
    let headers = headers(given);
    let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
    let request = Signable {
        service: "service",
        method: &method,
        uri: &uri,
        headers: &headers,
        body_sha256: hash([body]),
    };
    let added = sign(&request, &credentials(session), "us-east-1", MOMENT).unwrap();
    let (_, authorization) = added.last().unwrap();
    authorization.to_str().unwrap().rsplit_once("Signature=").unwrap().1.to_owned()
}

const HOST: (&str, &str) = ("host", "example.amazonaws.com");
const TOKEN_OF_SUITE: &str = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";

type Published = (&'static str, &'static [(&'static str, &'static str)], Option<&'static str>, &'static str);

/// The figures of AWS's own signing test suite: path, headers, session token, signature.
#[rustfmt::skip]
const PUBLISHED: &[Published] = &[
    ("/", &[HOST], None, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("/", &[], None, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("/?Param2=value2&Param1=value1", &[], None, "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", &[], None, "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac"),
    ("/", &[("my-header1", "value1"), ("my-header2", "\"a   b   c\"")], None, "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("/", &[("my-header1", "value4"), ("my-header1", "value1"), ("my-header1", "value3"), ("my-header1", "value2")], None, "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("//example//", &[], None, "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("/", &[], Some(TOKEN_OF_SUITE), "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8"),
];

#[test]
fn published_signatures() {
    for (path, given, session, expected) in PUBLISHED {
        let uri = format!("https://example.amazonaws.com{path}");
        assert_eq!(signature("GET", &uri, given, b"", *session), *expected, "{path}");
    }
    let body = b"Param1=value1";
    let hash = hex(&hash([&body[..]]));
    let form = ("content-type", "application/x-www-form-urlencoded");
    let given = [HOST, form, ("content-length", "13"), ("x-amz-content-sha256", &hash)];
    assert_eq!(
        signature("POST", "https://example.amazonaws.com/", &given, body, None),
        "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b"
    );
}

#[test]
fn a_models_id_is_encoded_once_in_the_path_and_twice_in_the_signature() {
    let arn = "arn:aws:bedrock:us-east-1:111:inference-profile/eu.maker.model-v1:0";
    let once = segment(arn);
    assert_eq!(once, "arn%3Aaws%3Abedrock%3Aus-east-1%3A111%3Ainference-profile%2Feu.maker.model-v1%3A0");
    let uri = format!("/model/{once}/converse");
    assert_eq!(path(&uri), uri.replace('%', "%25"));
}

#[test]
fn time_is_written_as_aws_does() {
    for (seconds, text) in [
        (0, "19700101T000000Z"),
        (MOMENT, "20150830T123600Z"),
        (951_782_399, "20000228T235959Z"),
        (951_782_400, "20000229T000000Z"),
        (1_709_251_200, "20240301T000000Z"),
        (4_107_542_400, "21000301T000000Z"),
    ] {
        assert_eq!(timestamp(seconds), text);
    }
    assert!(!timestamp(u64::MAX).is_empty());
}

#[test]
fn what_cannot_be_signed_is_refused_without_telling_it() {
    let (method, uri) = (Method::GET, Uri::from_static("/model"));
    let request =
        Signable { service: "bedrock", method: &method, uri: &uri, headers: &[], body_sha256: hash([]) };
    let refused = |session| sign(&request, &credentials(session), "eu-west-1", MOMENT).unwrap_err();
    assert_eq!(refused(None).kind, FaultKind::Internal);
    let fault = refused(Some("line\nfeed"));
    assert_eq!(fault.kind, FaultKind::UpstreamAuth);
    assert!(!fault.text().contains("line"));
    let strange = headers(&[("x-strange", "caf\u{e9}")]);
    assert_eq!(
        sign(&Signable { headers: &strange, ..request }, &credentials(None), "", 0).unwrap_err().kind,
        FaultKind::Internal
    );
}

#[test]
fn secrets_stay_out_of_logs() {
    let (method, uri) = (Method::GET, Uri::from_static("https://example.com/"));
    let request =
        Signable { service: "bedrock", method: &method, uri: &uri, headers: &[], body_sha256: hash([]) };
    let added = sign(&request, &credentials(Some("dG9rZW4=")), "eu-west-1", MOMENT).unwrap();
    assert_eq!(
        added.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["x-amz-date", "x-amz-security-token", "authorization"]
    );
    let shown = format!("{added:?}");
    assert!(!shown.contains("dG9rZW4") && !shown.contains("Signature="), "{shown}");
}

proptest! {
    /// AWS's own library gives the same headers.
    #[test]
    fn aws_signs_alike(
        segments in prop::collection::vec("[a-zA-Z0-9:/_ é%~]{1,12}", 0..4),
        query in prop::collection::vec(("[a-z%C3é+ ]{1,5}", "[a-zA-Z0-9/:= ]{0,6}"), 0..4),
        values in prop::collection::vec("[!-~]{1,6}( {1,3}[!-~]{1,4}){0,2}", 0..3),
        body in prop::collection::vec(any::<u8>(), 0..50),
        session in prop::option::of("[A-Za-z0-9+/=]{1,40}"),
        region in "[a-z]{2}-[a-z]{4,9}-[1-9]",
        seconds in 0..4_102_444_800u64,
    ) {
        let path: String = segments.iter().map(|text| format!("/{}", segment(text))).collect();
        let query: Vec<String> =
            query.iter().map(|(name, value)| format!("{}={}", segment(name), segment(value))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let text = format!("https://bedrock-runtime.{region}.amazonaws.com{}{mark}{}", if path.is_empty() { "/" } else { &path }, query.join("&"));
        let (method, uri): (Method, Uri) = (Method::POST, text.parse().unwrap());
        let pairs: Vec<(String, &str)> =
            values.iter().enumerate().map(|(index, value)| (format!("x-h{}", index % 2), value.as_str())).collect();
        let given: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let headers = headers(&given);

        let ours = credentials(session.as_deref());
        let body_sha256 = hash(body.chunks(7));
        let request =
            Signable { service: "bedrock", method: &method, uri: &uri, headers: &headers, body_sha256 };
        let added = sign(&request, &ours, &region, seconds).unwrap();

        let theirs = aws_credential_types::Credentials::new(
            &ours.access_key, ours.secret.expose(), session.clone(), None, "test",
        ).into();
        let params = SigningParams::builder()
            .identity(&theirs).region(&region).name("bedrock")
            .time(UNIX_EPOCH + Duration::from_secs(seconds))
            .settings(SigningSettings::default()).build().unwrap().into();
        let signable =
            SignableRequest::new("POST", &text, given.iter().copied(), SignableBody::Bytes(&body)).unwrap();
        let expected = aws_sign(signable, &params).unwrap().into_parts().0;
        let expected: Vec<(String, String)> =
            expected.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let added: Vec<(String, String)> =
            added.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let sorted = |mut list: Vec<(String, String)>| { list.sort(); list };
        prop_assert_eq!(sorted(added), sorted(expected));
    }
}
