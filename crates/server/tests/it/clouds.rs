//! Providers whose credentials run out: where each comes from, and what is sent with it.

use crate::support::{
    all_at_once, chat,
    client::{Answer, PATIENCE, Request, get, post, request},
    cloud::{Asked, Cloud, File},
    gateway::{Gateway, Setup},
    message, streamed,
    upstream::Upstream,
};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der},
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use aws_smithy_types::{DateTime, date_time::Format};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use std::{
    io::Write,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "c2Vzc2lvbg+/token==";

type Variables<'a> = &'a [(&'a str, &'a str)];

fn gateway(environment: Variables<'_>, config: &str) -> Gateway {
    let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let config = Some(format!("log: {{format: json}}\n{config}"));
    Gateway::start(&Setup { environment, config, ..Setup::default() })
}

fn ask(gateway: &Gateway, model: &str) -> Answer {
    gateway.ask(&post("/v1/chat/completions", chat(model, "hello")))
}

fn answered(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "hi", "{}", answer.text());
}

fn decoded(part: &str) -> Value {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[test]
fn a_service_account_signs_for_its_token() {
    let key = KeyPair::generate(KeySize::Rsa2048).expect("a key");
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("PKCS 8");
    let text = BASE64_STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let cloud = Cloud::of_tokens(3_600);
    let token_uri = format!("{}/token", cloud.url());
    let account = json!({"type": "service_account", "project_id": "filed", "client_email": "me@filed.iam",
        "private_key": pem, "private_key_id": "k1", "token_uri": token_uri});
    let file = File::holding(&account.to_string());
    let url = cloud.url();
    let environment = [
        ("GOOGLE_APPLICATION_CREDENTIALS", file.path()),
        ("VERTEX_BASE_URL", url),
        ("VERTEXAI_LOCATION", "europe-west4".into()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let gateway = gateway(&environment, "");

    answered(&ask(&gateway, "vertex/gemini-x"));
    let listed = gateway.ask(&get("/v1/models")).text();
    assert!(listed.contains("vertex/gemini-x"), "{listed}");
    let passed =
        gateway.ask(&get("/vertex/v1/projects/any/locations/l/x").header("authorization", "Bearer own"));
    assert_eq!(passed.status, 200);

    let asked = cloud.asked_once("/token");
    assert_eq!(asked.form("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let assertion = asked.form("assertion");
    let (signed, signature) = assertion.rsplit_once('.').expect("three parts");
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &signature).expect("the account's own signature");
    let (header, claims) = signed.split_once('.').expect("two parts");
    assert_eq!(decoded(header), json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    let claims = decoded(claims);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (from, until) = (claims["iat"].as_u64().expect("a time"), claims["exp"].as_u64().expect("a time"));
    assert!(from <= now && now - from < 60 && until - from == 3_600, "{claims}");
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("me@filed.iam"), &json!(token_uri)));
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");

    let place = "/projects/filed/locations/europe-west4/";
    let paths = [
        &format!("/v1beta1{place}publishers/google/models/gemini-x:generateContent"),
        "/v1beta1/publishers/google/models?pageSize=1000",
        "/v1/projects/any/locations/l/x",
    ];
    for path in paths {
        assert_eq!(cloud.asked_once(path).header("authorization"), "Bearer tok-1-0123456789", "{path}");
    }
}

#[test]
fn claude_on_vertex_is_asked_in_its_own_api() {
    let cloud = Cloud::of_tokens(3_600);
    let (url, host) = (cloud.url(), cloud.host());
    let environment =
        [("GCE_METADATA_HOST", host.as_str()), ("GOOGLE_VERTEX_BASE_URL", &url), ("VERTEXAI_PROJECT", "p")];
    let gateway = gateway(&environment, "");
    let whole = gateway.ask(&post("/v1/messages", message("vertex_ai/claude-x@1", "hello")));
    assert_eq!(whole.json()["content"][0]["text"], "hi", "{}", whole.text());
    gateway.ask(&post("/v1/messages", streamed(message("vertex/claude-x", "hello"))));
    answered(&ask(&gateway, "vertex/claude-y"));
    answered(&ask(&gateway, "vertex/meta/llama-x"));

    let place = "/v1/projects/p/locations/global/";
    let model = |name: &str| cloud.asked_once(&format!("{place}publishers/anthropic/models/{name}"));
    for asked in
        [model("claude-x@1:rawPredict"), model("claude-x:streamRawPredict"), model("claude-y:rawPredict")]
    {
        let body: Value = serde_json::from_str(&asked.body).expect("JSON");
        assert_eq!(
            (&body["anthropic_version"], body.get("model")),
            (&json!("vertex-2023-10-16"), None),
            "{body}"
        );
        assert_eq!(body["messages"][0]["role"], "user");
    }
    let other = cloud.asked_once(&format!("{place}endpoints/openapi/chat/completions"));
    assert!(other.body.contains("\"meta/llama-x\""), "{other:?}");
    let token = cloud.asked_once("/computeMetadata/v1/instance/service-accounts/default/token");
    assert_eq!((token.method.as_str(), token.header("metadata-flavor")), ("GET", "Google"));
}

#[test]
fn every_source_of_a_token_is_asked_as_it_wants() {
    let assertion = File::holding("federated-0123456789\n");
    let entra = [("AZURE_TENANT_ID", "tenant"), ("AZURE_CLIENT_ID", "client")];
    let path = assertion.path();
    let secret = [&entra[..], &[("AZURE_CLIENT_SECRET", "se&cret/0123456789")]].concat();
    let federated = [&entra[..], &[("AZURE_FEDERATED_TOKEN_FILE", path.as_str())]].concat();
    let service = [("IDENTITY_ENDPOINT", "CLOUD/msi/token"), ("IDENTITY_HEADER", "shown-0123456789")];
    let machine = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", "CLOUD"), ("AZURE_CLIENT_ID", "mine")];
    let resource = "resource=https://cognitiveservices.azure.com";
    let of_service = format!("GET /msi/token?api-version=2019-08-01&{resource}");
    let of_machine =
        format!("GET /metadata/identity/oauth2/token?api-version=2018-02-01&{resource}&client_id=mine");
    let of_tenant = "POST /tenant/oauth2/v2.0/token";
    #[rustfmt::skip]
    let table: [(Variables<'_>, &str, &str, &str, &str); 4] = [
        (&secret, "", of_tenant, "client_secret=se%26cret%2F0123456789", ""),
        (&federated, "", of_tenant, "client_assertion=federated-0123456789", ""),
        (&service, "", &of_service, "", "shown-0123456789"),
        (&machine, "providers: {azure: {}}", &of_machine, "", "true"),
    ];
    for (variables, config, line, form, header) in table {
        let cloud = Cloud::of_tokens(3_600);
        let url = cloud.url();
        let variables: Vec<(&str, String)> =
            variables.iter().map(|(name, value)| (*name, value.replace("CLOUD", &url))).collect();
        let mut environment: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.extend([("AZURE_OPENAI_ENDPOINT", url.as_str()), ("AZURE_AUTHORITY_HOST", &url)]);
        let gateway = gateway(&environment, config);
        answered(&ask(&gateway, "azure/gpt-x"));
        assert!(gateway.ask(&get("/v1/models")).text().contains("azure/gpt-x"));
        let asked = cloud.asked_once("token");
        assert_eq!(format!("{} {}", asked.method, asked.target), line);
        assert!(asked.body.contains(form), "{}", asked.body);
        if !form.is_empty() {
            assert_eq!(asked.form("scope"), "https://cognitiveservices.azure.com/.default");
            assert_eq!(
                (asked.form("grant_type"), asked.form("client_id")),
                ("client_credentials".into(), "client".into())
            );
        }
        let shown = [asked.header("metadata"), asked.header("x-identity-header")].concat();
        assert_eq!(shown, header);
        let chat = cloud.asked_once("/openai/v1/chat/completions");
        assert_eq!((chat.header("authorization"), chat.header("api-key")), ("Bearer tok-1-0123456789", ""));
    }
}

#[test]
fn a_user_s_login_is_renewed_and_a_given_token_is_taken() {
    let cloud = Cloud::of_tokens(3_600);
    let url = cloud.url();
    let login = json!({"type": "authorized_user", "client_id": "c", "client_secret": "s3cret-0123456789",
        "refresh_token": "r-0123456789", "quota_project_id": "payer", "token_uri": format!("{url}/token")});
    let file = File::holding(&login.to_string());
    let path = file.path();
    let environment = [
        ("GOOGLE_APPLICATION_CREDENTIALS", path.as_str()),
        ("VERTEXAI_PROJECT", "p"),
        ("VERTEX_BASE_URL", &url),
        ("AZURE_OPENAI_ENDPOINT", &url),
        ("AZURE_AD_TOKEN", "given-0123456789"),
        ("OPENAI_API_VERSION", "2024-10-21"),
    ];
    let gateway = gateway(&environment, "");
    answered(&ask(&gateway, "vertex/gemini-x"));
    answered(&ask(&gateway, "azure/my-gpt"));
    let asked = cloud.asked_once("/token");
    assert_eq!(
        (asked.form("grant_type"), asked.form("refresh_token")),
        ("refresh_token".into(), "r-0123456789".into())
    );
    assert_eq!(cloud.asked_once("generateContent").header("x-goog-user-project"), "payer");
    let classic = cloud.asked_once("/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21");
    assert_eq!(classic.header("authorization"), "Bearer given-0123456789");
}

/// Gives out access keys as ECS, EC2 and STS do, and is Bedrock.
fn aws() -> Cloud {
    let given = json!({"Code": "Success", "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": SECRET, "Token": SESSION,
        "Expiration": "2199-01-01T00:00:00Z"});
    let xml = format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIDEXAMPLE</AccessKeyId>\
         <SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{SESSION}</SessionToken><Expiration>2199-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    Cloud::start(move |asked| {
        let body = match (asked.method.as_str(), asked.target.as_str()) {
            ("PUT", "/latest/api/token")
                if asked.header("x-aws-ec2-metadata-token-ttl-seconds") == "21600" =>
            {
                "opened"
            }
            (_, path)
                if path.starts_with("/latest/") && asked.header("x-aws-ec2-metadata-token") != "opened" =>
            {
                return Some((401, String::new()));
            }
            ("GET", "/latest/meta-data/iam/security-credentials/") => "my-role",
            ("GET", "/latest/meta-data/iam/security-credentials/my-role") => {
                return Some((200, given.to_string()));
            }
            ("GET", "/ecs") if asked.header("authorization") == "shown-0123456789" => {
                return Some((200, given.to_string()));
            }
            ("POST", "/") if asked.form("WebIdentityToken") == "web-0123456789" => {
                return Some((200, xml.clone()));
            }
            ("POST", "/") | ("GET", "/ecs") => return Some((403, String::new())),
            _ => return None,
        };
        Some((200, body.to_owned()))
    })
}

/// What AWS's own library signs for the same request.
fn oracle(asked: &Asked, url: &str, session: Option<&str>) -> String {
    let date = asked.header("x-amz-date");
    let (day, clock) = date.split_once('T').expect("a time");
    let written = format!(
        "{}-{}-{}T{}:{}:{}",
        &day[..4],
        &day[4..6],
        &day[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..]
    );
    let time = DateTime::from_str(&written, Format::DateTime).expect("a time").secs();
    let time = UNIX_EPOCH + Duration::from_secs(time.cast_unsigned());
    assert!(time.elapsed().expect("not to come") < PATIENCE);
    let keys = aws_credential_types::Credentials::new(
        "AKIDEXAMPLE",
        SECRET,
        session.map(str::to_owned),
        None,
        "test",
    );
    let identity = keys.into();
    let params = SigningParams::builder().identity(&identity).region("eu-central-1").name("bedrock");
    let params = params.time(time).settings(SigningSettings::default());
    let params = params.build().expect("all is there").into();
    let authorization = asked.header("authorization");
    let (_, names) = authorization.split_once("SignedHeaders=").expect("names");
    let names: Vec<&str> = names.split(',').next().expect("names").split(';').collect();
    // AWS demands its own headers under the signature.
    let of_aws = asked.headers.iter().filter(|(name, _)| name.starts_with("x-amz"));
    of_aws.for_each(|(name, _)| assert!(names.contains(&name.as_str()), "`{name}` is not signed"));
    let own = ["host", "x-amz-date", "x-amz-security-token"];
    let covered = names.iter().filter(|name| !own.contains(name)).map(|name| (*name, asked.header(name)));
    let text = format!("{url}{}", asked.target);
    let body = SignableBody::Bytes(asked.body.as_bytes());
    let request = SignableRequest::new(asked.method.as_str(), text, covered, body).expect("a request");
    let (signed, _) = sign(request, &params).expect("a signature").into_parts();
    let found = signed.headers().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    found.expect("a signature").1.to_owned()
}

#[test]
fn every_source_of_an_access_key_signs_as_aws_would() {
    let token = File::holding("web-0123456789\n");
    let keys = format!("[work]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {SECRET}\n");
    let profile = File::holding(&keys);
    let (token, profile) = (token.path(), profile.path());
    let static_key = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", SESSION),
    ];
    let profiled = [("AWS_PROFILE", "work"), ("AWS_SHARED_CREDENTIALS_FILE", profile.as_str())];
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_ENDPOINT_URL_STS", "CLOUD"),
    ];
    let ecs = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "CLOUD/ecs"),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "shown-0123456789"),
    ];
    let ec2 = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "CLOUD/")];
    let table: [(Variables<'_>, &str, Option<&str>); 5] = [
        (&static_key, "", Some(SESSION)),
        (&profiled, "", None),
        (&web, "", Some(SESSION)),
        (&ecs, "", Some(SESSION)),
        (&ec2, "providers: {bedrock: {}}", Some(SESSION)),
    ];
    for (variables, config, session) in table {
        let cloud = aws();
        let url = cloud.url();
        let variables: Vec<(&str, String)> =
            variables.iter().map(|(name, value)| (*name, value.replace("CLOUD", &url))).collect();
        let mut environment: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        environment.extend([("AWS_REGION", "eu-central-1"), ("BEDROCK_BASE_URL", &url)]);
        let gateway = gateway(&environment, config);
        answered(&ask(&gateway, "bedrock/eu.anthropic.claude-x-v1:0"));
        answered(&ask(&gateway, "bedrock/arn:aws:bedrock:eu-central-1:1:inference-profile/eu.x"));
        assert!(gateway.ask(&get("/v1/models")).text().contains("bedrock/anthropic.claude-x"));
        let passed = post("/bedrock/model/m%3A0/invoke?a=b%20c&a=a", json!({"x": 1}))
            .header("x-amz-date", "20000101T000000Z")
            .header("x-amz-security-token", "own")
            .header("x-amzn-bedrock-trace", "ENABLED")
            .header("authorization", "AWS4-HMAC-SHA256 Credential=own");
        assert_eq!(gateway.ask(&passed).status, 200);
        for part in [
            "claude-x-v1%3A0/converse",
            "inference-profile%2Feu.x/converse",
            "/foundation-models",
            "/model/m%3A0/invoke",
        ] {
            let asked = cloud.asked_once(part);
            assert_eq!(asked.header("authorization"), oracle(&asked, &url, session), "{part}: {asked:?}");
            assert_eq!(asked.header("x-amz-security-token"), session.unwrap_or_default());
        }
    }
}

#[test]
fn a_stream_of_bedrock_s_comes_through() {
    let cloud = aws();
    let url = cloud.url();
    let environment = [("AWS_BEARER_TOKEN_BEDROCK", "key-0123456789"), ("BEDROCK_BASE_URL", url.as_str())];
    let gateway = gateway(&environment, "providers: {bedrock: {region: us-east-1}}");
    let answer =
        gateway.ask(&post("/v1/messages", streamed(message("bedrock/us.amazon.nova-v1:0", "hello"))));
    let events = answer.events();
    let kinds: Vec<&str> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        (kinds.first(), kinds.last()),
        (Some(&"message_start"), Some(&"message_stop")),
        "{}",
        answer.text()
    );
    assert!(events.iter().any(|(_, data)| data.contains("\"text\":\"hi\"")), "{}", answer.text());
    let asked = cloud.asked_once("/model/us.amazon.nova-v1%3A0/converse-stream");
    assert_eq!(asked.header("authorization"), "Bearer key-0123456789");
    assert!(!asked.body.contains("\"stream\""), "{}", asked.body);
}

#[test]
fn a_websocket_is_signed_too() {
    let azure = Upstream::start(|socket, request| {
        let request = String::from_utf8_lossy(request).to_lowercase();
        let signed = request.contains("authorization: bearer given-0123456789\r\n");
        let head = if signed { "101 Yes\r\nupgrade: websocket\r\nconnection: upgrade" } else { "401 No" };
        let _ = socket.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
    });
    let url = azure.url();
    let environment = [("AZURE_OPENAI_ENDPOINT", url.as_str()), ("AZURE_AD_TOKEN", "given-0123456789")];
    let gateway = gateway(&environment, "");
    let mut client = gateway.connect();
    let request = get("/azure/openai/v1/realtime?model=m").header("upgrade", "websocket");
    let request = request.header("connection", "upgrade").header("sec-websocket-version", "13");
    client.send_request(&request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="));
    client.wait_for("HTTP/1.1 101 ");
}

#[test]
fn an_upload_that_aws_cannot_sign_is_refused() {
    let cloud = aws();
    let url = cloud.url();
    let environment = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "eu-central-1"),
        ("BEDROCK_BASE_URL", url.as_str()),
    ];
    let gateway = gateway(&environment, "");
    let field = "--cut\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nbedrock/m\r\n--cut\r\n";
    let file = "content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    let form = [field, file, &"x".repeat(1 << 20), "\r\n--cut--\r\n"].concat();
    let upload = request("POST", "/bedrock/files").body(form);
    let answer = gateway.ask(&upload.header("content-type", "multipart/form-data; boundary=cut"));
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(cloud.asked("/").is_empty());
}

#[test]
fn many_requests_cause_one_fetch() {
    let cloud = Cloud::start(|asked| {
        asked.target.contains("token").then(|| {
            // Time for all the others to come.
            thread::sleep(Duration::from_millis(300));
            (200, json!({"access_token": "tok-0123456789", "expires_in": "3600"}).to_string())
        })
    });
    let (url, host) = (cloud.url(), cloud.host());
    let environment =
        [("GCE_METADATA_HOST", host.as_str()), ("VERTEX_BASE_URL", &url), ("VERTEXAI_PROJECT", "p")];
    let gateway = gateway(&environment, "");
    all_at_once(&[(); 32], 32, |()| answered(&ask(&gateway, "vertex/gemini-x")));
    assert_eq!((cloud.asked("token").len(), cloud.asked("generateContent").len()), (1, 32));
}

#[test]
fn a_token_that_has_ended_is_fetched_anew() {
    let cloud = Cloud::of_tokens(0);
    let (url, host) = (cloud.url(), cloud.host());
    let environment =
        [("GCE_METADATA_HOST", host.as_str()), ("VERTEX_BASE_URL", &url), ("VERTEXAI_PROJECT", "p")];
    let gateway = gateway(&environment, "");
    for number in 1..=3 {
        answered(&ask(&gateway, "vertex/gemini-x"));
        let asked = cloud.asked("generateContent").pop().expect("asked");
        assert_eq!(asked.header("authorization"), format!("Bearer tok-{number}-0123456789"));
    }
}

#[test]
fn without_credentials_the_next_target_is_asked_and_the_log_says_why() {
    let cloud = Cloud::start(|asked| {
        let refusal = json!({"error": "invalid_grant", "error_description": "the account is gone"});
        asked.target.contains("token").then(|| (400, refusal.to_string()))
    });
    let (url, host) = (cloud.url(), cloud.host());
    let environment = [
        ("GCE_METADATA_HOST", host.as_str()),
        ("VERTEX_BASE_URL", &url),
        ("VERTEXAI_PROJECT", "p"),
        ("AZURE_OPENAI_ENDPOINT", &url),
        ("AZURE_OPENAI_API_KEY", "azure-0123456789"),
    ];
    let gateway = gateway(&environment, "models: {both: [vertex/gemini-x, azure/gpt-x]}");
    let refused = ask(&gateway, "vertex/gemini-x");
    assert_eq!(refused.status, 502);
    let message = &refused.json()["error"]["message"];
    assert_eq!(message, "the gateway has no credentials for the provider");
    let rescued = ask(&gateway, "both");
    answered(&rescued);
    assert_eq!(rescued.header("x-sekisho-target"), "azure/gpt-x");
    assert_eq!(cloud.asked_once("/openai/v1/chat/completions").header("api-key"), "azure-0123456789");
    assert!(cloud.asked("generateContent").is_empty());
    let ended = gateway.finish();
    let said = ended.out + &ended.err;
    let why = "provider `vertex`: no credentials from Google's metadata server: `127.0.0.1` answered 400: invalid_grant: the account is gone";
    assert!(said.contains(why), "{said}");
}

#[test]
fn what_signs_is_read_by_nobody_else() {
    let cloud = Cloud::start(|asked| {
        let token = json!({"access_token": "tok-0123456789", "expires_in": 3600}).to_string();
        let echo = json!({"error": {"code": 400, "message": asked.header("authorization"), "status": "INVALID_ARGUMENT"}});
        Some(if asked.target.contains("token") { (200, token) } else { (400, echo.to_string()) })
    });
    let (url, host) = (cloud.url(), cloud.host());
    let environment =
        [("GCE_METADATA_HOST", host.as_str()), ("VERTEX_BASE_URL", &url), ("VERTEXAI_PROJECT", "p")];
    let gateway = gateway(&environment, "");
    let own = |path: &str| -> Request {
        post(path, json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}))
    };
    for answer in [
        ask(&gateway, "vertex/gemini-x"),
        gateway.ask(&own("/v1beta/models/vertex/gemini-x:generateContent")),
    ] {
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains("Bearer ***"), "{}", answer.text());
        assert!(!answer.text().contains("tok-0123456789"), "{}", answer.text());
    }
    let ended = gateway.finish();
    assert!(!(ended.out + &ended.err).contains("tok-0123456789"));
}
