use super::*;
use crate::limits::JSON_DEPTH_MAX;
use proptest::prelude::*;
use serde::de::IgnoredAny;

const POLICY: &[&str] = &["model", "stream", "max_tokens", "stop", "kind", "n"];

fn read(body: &str) -> Result<Outline, Fault> {
    Outline::read(&Bytes::copy_from_slice(body.as_bytes()), POLICY)
}

fn set(name: &'static str, json: &'static str) -> Edit<'static> {
    Edit::Set { name, json: Bytes::from_static(json.as_bytes()) }
}

fn rename(from: &'static str, to: &'static str) -> Edit<'static> {
    Edit::Rename { from, to }
}

#[track_caller]
fn check(body: &str, edits: &[Edit<'_>], expected: &str) {
    let pieces = read(body).unwrap().apply(edits);
    assert_eq!(String::from_utf8(pieces.concat()).unwrap(), expected, "{edits:?}");
}

#[test]
fn edits() {
    let body = r#" { "model" : "a", "x": [1, {"model": 2}],"stream":true , "n":1 } "#;
    check(body, &[], body);
    check(body, &[set("model", "\"b\"")], &body.replace("\"a\"", "\"b\""));
    check(body, &[Edit::Remove("model")], r#" { "x": [1, {"model": 2}],"stream":true , "n":1 } "#);
    check(body, &[Edit::Remove("stream")], r#" { "model" : "a", "x": [1, {"model": 2}] , "n":1 } "#);
    check(body, &[Edit::Remove("n")], r#" { "model" : "a", "x": [1, {"model": 2}],"stream":true  } "#);
    check(
        body,
        &[Edit::Remove("model"), Edit::Remove("stream"), Edit::Remove("n")],
        r#" { "x": [1, {"model": 2}]  } "#,
    );
    check(body, &[Edit::Remove("stop")], body);
    check(body, &[rename("n", "stop")], &body.replace("\"n\"", "\"stop\""));
    check(body, &[set("n", "2"), set("n", "3")], &body.replace(":1 }", ":3 }"));
}

#[test]
fn members_come_and_go_in_small_bodies() {
    check("{}", &[set("model", "\"a\"")], r#"{"model":"a"}"#);
    check("{ }", &[set("model", "1"), set("n", "2")], r#"{"model":1,"n":2 }"#);
    check(r#"{"x":1}"#, &[set("n", "2")], r#"{"n":2,"x":1}"#);
    check(r#"{"n":1}"#, &[Edit::Remove("n")], "{}");
    check(r#"{"n":1}"#, &[Edit::Remove("n"), set("stop", "0")], r#"{"stop":0}"#);
    check(r#"{"n":1,"stop":2}"#, &[Edit::Remove("n"), Edit::Remove("stop")], "{}");
    check(r#"{"n":1,"stop":2,"x":3}"#, &[Edit::Remove("n"), Edit::Remove("stop")], r#"{"x":3}"#);
    check(r#"{"x":3,"n":1,"stop":2}"#, &[Edit::Remove("n"), Edit::Remove("stop")], r#"{"x":3}"#);
    check(r#"{"n":1,"stop":2}"#, &[rename("n", "stop")], r#"{"stop":2}"#);
    check(r#"{"n":1,"stop":2}"#, &[rename("n", "stop"), Edit::Remove("stop")], r#"{"stop":1}"#);
    check(r#"{"n":1}"#, &[rename("n", "stop"), set("stop", "2")], r#"{"stop":2}"#);
}

#[test]
fn pieces_share_the_body() {
    let body = Bytes::from(format!(r#"{{"model":"a","x":"{}"}}"#, "y".repeat(1000)));
    let pieces = Outline::read(&body, POLICY).unwrap().apply(&[set("model", "\"b\"")]);
    let shared: usize =
        pieces.iter().filter(|piece| body.as_ptr_range().contains(&piece.as_ptr())).map(Bytes::len).sum();
    assert_eq!(shared, body.len() - 3);
}

#[test]
fn values() {
    let outline = read(r#"{"model":"a\u00e9","stream":false,"max_tokens":7,"stop":null}"#).unwrap();
    assert_eq!(outline.string("model").unwrap().unwrap(), "aé");
    assert_eq!(outline.boolean("stream"), Ok(Some(false)));
    assert_eq!(outline.whole("max_tokens"), Ok(Some(7)));
    assert!(outline.has("stop") && outline.raw("stop").is_none());
    assert_eq!(outline.string("stop"), Ok(None));
    assert_eq!(outline.whole("n"), Ok(None));
    assert_eq!(
        outline.string("max_tokens").unwrap_err().message,
        "`/max_tokens` must be a string, not a number"
    );
    assert_eq!(outline.boolean("model").unwrap_err().message, "`/model` must be true or false, not a string");
    assert!(read(r#"{"n":1.0}"#).unwrap().whole("n").is_err());
    assert!(read(r#"{"n":-1}"#).unwrap().whole("n").is_err());
    assert!(read(r#"{"n":18446744073709551616}"#).unwrap().whole("n").is_err());
    assert!(read(r#"{"model":"\ud800"}"#).unwrap().string("model").is_err());
    assert_eq!(read(r#"{"model":"\\"}"#).unwrap().string("model").unwrap().unwrap(), "\\");
}

#[test]
fn a_policy_member_stands_once_and_in_its_own_spelling() {
    for body in [
        r#"{"model":"a","model":"a"}"#,
        r#"{"model":"a","x":0,"mod\u0065l":"b"}"#,
        r#"{"mod\u0065l":"b"}"#,
        r#"{"Model":"b"}"#,
        r#"{"model":"a","MODEL":"b"}"#,
        r#"{"MODEL":"b","model":"a"}"#,
        r#"{"\u004dodel":"b"}"#,
    ] {
        assert_eq!(read(body).unwrap_err().param.as_deref(), Some("/model"), "{body}");
    }
    for body in ["{\"\u{17F}top\":1}", "{\"\u{212A}ind\":1}", r#"{"\u017ftop":1}"#] {
        assert!(read(body).is_err(), "{body}");
    }
    for body in
        [r#"{"x":1,"x":2,"X":3,"\u0078":4}"#, r#"{"a":{"Model":1,"model":2,"model":3}}"#, r#"{"\ud800":1}"#]
    {
        assert!(read(body).is_ok(), "{body}");
    }
}

#[test]
fn a_policy_name_may_have_any_ascii_in_it() {
    let read = |body: &'static str| Outline::read(&Bytes::from_static(body.as_bytes()), &["Big", "a\"b"]);
    for body in [r#"{"b\u0069g":1}"#, r#"{"big":1}"#] {
        assert_eq!(read(body).unwrap_err().param.as_deref(), Some("/Big"), "{body}");
    }
    assert_eq!(read("{}").unwrap().apply(&[set("a\"b", "1")]).concat(), br#"{"a\"b":1}"#);
}

#[test]
fn refusals_say_where() {
    let message = |body: &str| read(body).unwrap_err().message;
    assert_eq!(
        message("{\n \"a\": tru }"),
        "the body is not valid JSON: expected `true`, `false` or `null`, found `t` at 2:7"
    );
    assert_eq!(
        message("{\"a\":1}x"),
        "the body is not valid JSON: expected nothing behind the object, found `x` at 1:8"
    );
    assert_eq!(
        message("[]"),
        "the body is not valid JSON: expected `{`, as the body must be an object, found `[` at 1:1"
    );
    assert_eq!(
        message("{\"a"),
        "the body is not valid JSON: expected the string's end, found the end at 1:4"
    );
    assert_eq!(message("\u{FEFF}{}"), "the body begins with a byte order mark, which JSON does not allow");
    assert_eq!(message(""), "the body is empty");
    let error = Outline::read(&Bytes::from_static(b"{\"\xFF\":1}"), POLICY).unwrap_err();
    assert_eq!(error.message, "the body is not UTF-8 at byte 2");
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(read(&nested(JSON_DEPTH_MAX)).is_ok());
    let error = read(&nested(JSON_DEPTH_MAX + 1)).unwrap_err();
    assert!(error.message.contains("deeper than 64 levels"), "{error}");
    assert!(read(&"[{\"a\":".repeat(1_000_000)).is_err());
}

#[test]
fn every_byte_in_every_place_of_a_string() {
    for length in 0..70 {
        for place in 0..length {
            for byte in [0, 0x1F, b'"', b'\\', b' ', b'!', b'#', b'[', b']', 0x7F] {
                let mut body = [b"{\"".as_slice(), &vec![b'a'; length], b"\":1}"].concat();
                body[2 + place] = byte;
                agree(&body);
            }
        }
    }
}

/// The scanner takes what `serde_json` takes, as long as it is an object and not too deep.
fn agree(body: &[u8]) {
    let text = std::str::from_utf8(body);
    let valid = text.is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    let expected = valid && body.trim_ascii_start().starts_with(b"{") && depth(body) <= JSON_DEPTH_MAX;
    let outline = Outline::read(&Bytes::copy_from_slice(body), &[]);
    assert_eq!(outline.is_ok(), expected, "{:?}: {outline:?}", String::from_utf8_lossy(body));
}

/// Nesting of valid JSON.
fn depth(body: &[u8]) -> usize {
    let (mut depth, mut most, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

fn white() -> impl Strategy<Value = String> + Clone {
    prop::sample::select(&["", "", " ", "\n\t", "\r "][..]).prop_map(str::to_owned)
}

fn scalar() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        prop::sample::select(
            &["null", "true", "false", "0", "-0.5e+7", "1E400", "123456789012345678901"][..]
        )
        .prop_map(str::to_owned),
        "[ -~é\u{1F600}]{0,40}".prop_map(|text| Value::String(text).to_string()),
        Just(r#""\u0041\ud83d\ude00\/""#.to_owned()),
    ]
}

fn value() -> impl Strategy<Value = String> + Clone {
    scalar().prop_recursive(4, 24, 4, |inner| {
        let item = (white(), inner, white()).prop_map(|(before, value, behind)| before + &value + &behind);
        prop_oneof![
            prop::collection::vec(item.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(item, 0..4).prop_map(|items| {
                let members: Vec<String> =
                    items.iter().enumerate().map(|(number, item)| format!("\"{number}\":{item}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// An object with some policy members, each at most once, among others.
fn object() -> impl Strategy<Value = String> + Clone {
    let names: Vec<&str> = POLICY.iter().copied().chain(["a", "messages", "é", "\\n"]).collect();
    let member = (white(), white(), value(), white());
    (prop::sample::subsequence(names.clone(), 0..=names.len()).prop_shuffle(), white()).prop_flat_map(
        move |(names, inside)| {
            prop::collection::vec(member.clone(), names.len()).prop_map(move |members| {
                let write = |(name, (a, b, value, c)): (&&str, &(String, String, String, String))| {
                    format!("{a}\"{name}\"{b}:{b}{value}{c}")
                };
                let members: Vec<String> = names.iter().zip(&members).map(write).collect();
                format!("{inside}{{{inside}{}}}{inside}", members.join(","))
            })
        },
    )
}

fn edit() -> impl Strategy<Value = Edit<'static>> {
    (prop::sample::select(POLICY), 0..2, value()).prop_map(|(name, kind, json)| match kind {
        0 => Edit::Remove(name),
        _ => Edit::Set { name, json: Bytes::from(json) },
    })
}

fn edited(body: &str, edits: &[Edit<'_>]) -> Value {
    let mut tree: Value = serde_json::from_str(body).unwrap();
    let members = tree.as_object_mut().unwrap();
    for edit in edits {
        match edit {
            Edit::Set { name, json } => {
                members.insert((*name).to_owned(), serde_json::from_slice(json).unwrap());
            }
            Edit::Remove(name) => {
                members.remove(*name);
            }
            Edit::Rename { .. } => unreachable!(),
        }
    }
    tree
}

proptest! {
    #[test]
    fn no_edits_is_the_identity(body in object()) {
        prop_assert_eq!(read(&body).unwrap().apply(&[]).concat(), body.as_bytes());
    }

    #[test]
    fn edits_do_what_they_do_to_a_tree(body in object(), edits in prop::collection::vec(edit(), 0..5)) {
        let spliced = read(&body).unwrap().apply(&edits).concat();
        let tree: Value = serde_json::from_slice(&spliced).unwrap();
        prop_assert_eq!(&tree, &edited(&body, &edits), "{}", String::from_utf8_lossy(&spliced));
        prop_assert!(read(std::str::from_utf8(&spliced).unwrap()).is_ok());
    }

    #[test]
    fn what_serde_takes_is_taken(body in object(), place in any::<prop::sample::Index>(), with in any::<u8>()) {
        agree(body.as_bytes());
        let mut broken = body.clone().into_bytes();
        let place = place.index(broken.len());
        broken[place] = with;
        agree(&broken);
        broken.remove(place);
        agree(&broken);
        agree(&body.as_bytes()[..place]);
    }

    #[test]
    fn what_serde_refuses_is_refused(words in prop::collection::vec(prop::sample::select(&[
        "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\\", "\\u00", "\\n", "-", "0", "1", ".", "e", "+", "true",
        "fals", "null", " ", "\n", "\u{0}", "é", "\u{B}",
    ][..]), 0..12)) {
        agree(format!("{{{}", words.concat()).as_bytes());
        agree(format!("{{\"a\":{}}}", words.concat()).as_bytes());
    }
}

#[test]
fn only_the_text_of_named_members_is_measured() {
    for (body, size) in [
        (r#"{"id":"content","choices":[{"delta":{"content":"four"}}]}"#, Some(4)),
        (r#"{"content" : "a\"b\n\u95a2"}"#, Some(7)),
        (r#"{"content":null,"name":"weather","arguments":"{\"a\":"}"#, Some(5)),
        (r#"{"content":{"text":"no"},"arguments":["no"]}"#, Some(0)),
        (r#"{"content":"cut"#, None),
        ("[DONE]", None),
    ] {
        assert_eq!(texts(body.as_bytes(), &["\"content\"", "\"arguments\""]), size, "{body}");
    }
}

proptest! {
    #[test]
    fn every_text_is_measured_as_it_reads(text: String, other: String) {
        let body = serde_json::json!({"a": other, "list": [{"content": text}], "z": {"content": 1}});
        let size = texts(body.to_string().as_bytes(), &["\"content\""]).unwrap();
        // serde_json escapes control characters as six bytes, which stand for one.
        let control = text.chars().filter(|c| c.is_control()).count();
        prop_assert!((text.len()..=text.len() + 2 * control).contains(&size), "{size} of {}", text.len());
    }
}
