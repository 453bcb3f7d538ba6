//! Forms: where their model stands, and that it stands there once.

use crate::form::Form;
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

fn form(kind: &str) -> Result<Option<Form>, dialect::Fault> {
    let kind = HeaderValue::from_str(kind).expect("a header");
    Form::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]))
}

/// What `text` (with `|` for the end of a line) names as its model, and whether that is where it says.
fn model(text: &str, pieces: usize) -> Result<Option<String>, String> {
    let text = text.replace('|', "\r\n");
    let mut form = form("multipart/form-data; boundary=b-1").expect("it is good").expect("a form");
    for piece in text.as_bytes().chunks(pieces) {
        form.feed(piece).map_err(|fault| fault.text())?;
    }
    Ok(form.model().map(|field| {
        assert_eq!(text.get(field.range.clone()), Some(field.name.as_str()));
        field.name.clone()
    }))
}

const FILE: &str = "--b-1|Content-Disposition: form-data; name=\"file\"; filename=\"a\\b.wav\"|Content-Type: audio/wav||RIFF|";

/// A part, the file, the end: what stands in the place of the part's headers and of its value.
fn around(head: &str, value: &str) -> String {
    format!("--b-1|{head}||{value}|{FILE}--b-1--|")
}

#[test]
fn a_model_is_found_wherever_it_stands() {
    let plain = "Content-Disposition: form-data; name=\"model\"";
    #[rustfmt::skip]
    let table = [
        (around(plain, "whisper-1"), Some("whisper-1")),
        (around("content-disposition:form-data;name=model", "my/alias"), Some("my/alias")),
        (around(&format!("{plain}|Content-Type: text/plain"), "schön"), Some("schön")),
        (around(plain, ""), Some("")),
        (format!("{FILE}--b-1|{plain}||last|--b-1--"), Some("last")),
        (format!("a preamble|{}", around(plain, "m")), Some("m")),
        (around("Content-Disposition: form-data; name=\"language\"", "de"), None),
        (around("Content-Disposition: form-data; name=\"file\"; filename=\"x; name=\\\"model\\\"\"", "de"), None),
        (around("X-Other: name=\"model\"", "de"), None),
        (around(plain, "cut").split("cut").next().expect("a part").to_owned(), None),
        (format!("{FILE}Content-Disposition: form-data; name=\"model\"||in the file|--b-1--|"), None),
    ];
    for (text, expected) in table {
        for pieces in [1, 2, 3, 7, 1_000] {
            assert_eq!(model(&text, pieces), Ok(expected.map(str::to_owned)), "{text} in pieces of {pieces}");
        }
    }
}

#[test]
fn a_model_that_can_be_read_in_two_ways_is_refused() {
    let plain = "Content-Disposition: form-data; name=\"model\"";
    let twice = |second: &str| format!("--b-1|{plain}||a|--b-1|{second}||b|--b-1--|");
    let table = [
        twice(plain),
        twice("Content-Disposition: form-data; name=model"),
        twice("Content-Disposition: form-data; name=\"Model\""),
        twice("Content-Disposition: form-data; name=\"mo\\del\""),
        twice("Content-Disposition: form-data; name=\"x\"; name=\"model\""),
        twice("Content-Disposition: form-data; name*=utf-8''model"),
        twice("Content-Disposition: form-data; name=\"x\"|Content-Disposition: form-data; name=\"model\""),
        twice("Content-Disposition: form-data;| name=\"model\""),
        twice("Content-Disposition: form-data; name=\"model"),
        twice("no header"),
        format!("--b-1|{plain}||a|--b-1--|--b-1|{plain}||behind the end|--b-1--|"),
        format!("--b-1|{plain}||a\n--b-1\n{plain}\n\nb|--b-1--|"),
        around(&format!("{plain}|Content-Transfer-Encoding: base64"), "d2hpc3Blcg=="),
        around(plain, &"m".repeat(600)),
        format!("--b-1|X: {}||a|--b-1--", "x".repeat(9_000)),
    ];
    for text in table {
        for pieces in [1, 5, 100_000] {
            assert!(model(&text, pieces).is_err(), "{text} in pieces of {pieces}");
        }
    }
}

#[test]
fn a_file_may_have_a_name_in_any_encoding() {
    let mut form = form("multipart/form-data; boundary=b-1").expect("it is good").expect("a form");
    let file =
        b"--b-1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"Gr\xfc\xdfe.wav\"\r\n\r\nx\r\n";
    form.feed(file).expect("it is read");
    form.feed(b"--b-1\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b-1--")
        .expect("it is read");
    assert_eq!(form.model().map(|field| field.name.as_str()), Some("m"));
}

#[test]
fn only_a_form_with_one_boundary_is_one() {
    for kind in ["application/json", "text/plain; boundary=b", "multipart/mixed; boundary=b", ""] {
        assert!(matches!(form(kind), Ok(None)), "{kind}");
    }
    for kind in ["multipart/form-data; boundary=b", "Multipart/Form-Data;charset=utf-8; boundary=\"a b\""] {
        assert!(matches!(form(kind), Ok(Some(_))), "{kind}");
    }
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    for kind in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=\"a",
        &long,
    ] {
        assert!(form(kind).is_err(), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any split says the same, whatever the bytes are.
    #[test]
    fn any_split_of_a_form_gives_the_same(
        parts in prop::collection::vec(prop::sample::select(vec![
            "--b-1", "\r\n", "\n", "--", "x", "\r", "Content-Disposition: form-data; name=\"model\"", "\r\n\r\n", "-", ":", ";",
        ]), 0..40),
        pieces in 1_usize..20,
    ) {
        let text = parts.concat();
        let outcome = |pieces: usize| {
            let mut form = form("multipart/form-data; boundary=b-1").expect("good").expect("a form");
            let fed = text.as_bytes().chunks(pieces).try_for_each(|piece| form.feed(piece));
            (fed.map_err(|fault| fault.text()), form.model().cloned())
        };
        let (whole, split) = (outcome(10_000), outcome(pieces));
        prop_assert_eq!(&whole.0, &split.0);
        if whole.0.is_ok() {
            prop_assert_eq!(whole.1, split.1);
        }
    }
}
