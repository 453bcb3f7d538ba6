//! The corpus of embeddings, and their laws.
//!
//! A case is one text file, `cases/embed/<from>-to-<to>-<name>.txt`, named by two shapes, with the sections that
//! the cases of the dialects have: head lines, what <from> wrote, what <to> gets, and what was lost.
//!
//! | `kind` | input | output | head lines that count |
//! |---|---|---|---|
//! | `request` | a caller's request | the provider's request | `model` (else the caller's) |
//! | `response` | a provider's whole answer | the caller's, bytes as they are | `asked`: the caller's request in one line |

use super::case;
use crate::{
    Fault,
    embed::{EmbedShape, Vector},
    laws,
};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{fs, path::PathBuf, sync::LazyLock};

const LINE: &str = "-----\n";

struct Case {
    path: PathBuf,
    from: EmbedShape,
    to: EmbedShape,
    head: String,
    input: String,
    expected: String,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let files = fs::read_dir(case::folder().join("embed")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(Case::read).collect()
});

impl Case {
    fn read(path: PathBuf) -> Case {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let shape = |name| EmbedShape::from_name(name).unwrap_or_else(|| panic!("{name} is no shape"));
        let (from, rest) = name.split_once("-to-").unwrap();
        let (from, to) = (shape(from), shape(rest.split_once('-').unwrap().0));
        let text = fs::read_to_string(&path).unwrap();
        let mut sections = text.splitn(3, LINE).map(str::to_owned);
        let mut next = || sections.next().unwrap_or_default();
        Case { head: next(), input: next(), expected: next(), path, from, to }
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|line| line.0 == name)
            .map(|line| line.1)
    }

    fn carry(&self) -> String {
        let carried = match self.value("kind") {
            Some("request") => self.request(),
            Some("response") => self.response(),
            other => panic!("{}: {other:?} is no kind", self.path.display()),
        };
        carried.unwrap_or_else(|fault| {
            let body = String::from_utf8(self.caller().write_fault(&fault)).unwrap();
            let pointer = fault.param.as_deref().unwrap_or("-");
            format!("fault: {:?} {pointer}: {}\n{body}\n", fault.kind, fault.text())
        })
    }

    fn caller(&self) -> EmbedShape {
        if self.value("kind") == Some("request") { self.from } else { self.to }
    }

    fn request(&self) -> Result<String, Fault> {
        let embed = self.from.read_request(self.input.as_bytes())?;
        let written = self.to.write_request(&embed, self.value("model").unwrap_or(&embed.model))?;
        let body: Value = serde_json::from_slice(&written.value).unwrap();
        let losses: String = written.losses.iter().map(|loss| format!("{}\n", loss.pointer)).collect();
        let line = if losses.is_empty() { "" } else { LINE };
        Ok(format!("{body:#}\n{line}{losses}"))
    }

    fn response(&self) -> Result<String, Fault> {
        let asked = self.to.read_request(self.value("asked").unwrap().as_bytes())?;
        let answer = self.from.answer(Bytes::copy_from_slice(self.input.as_bytes()), &asked)?;
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        serde_json::from_str::<Value>(&body).unwrap();
        Ok(body + "\n")
    }

    fn laws(&self) -> Result<(), laws::Broken> {
        match self.value("kind") {
            Some("request") => laws::embed_request(self.from, self.input.as_bytes()),
            _ => laws::embed_response(self.from, self.input.as_bytes()),
        }
    }
}

#[test]
fn cases_of_embeddings() {
    assert!(!CASES.is_empty());
    let mut wrong = String::new();
    for case in CASES.iter() {
        let found = case.carry();
        if found != case.expected && std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&case.path, [&case.head, LINE, &case.input, LINE, &found].concat()).unwrap();
        } else if found != case.expected {
            wrong += &format!("{}\n{}\n", case.path.display(), case::difference(&case.expected, &found));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_case_of_embeddings_keeps_the_laws() {
    for case in CASES.iter() {
        assert_eq!(case.laws(), Ok(()), "{}", case.path.display());
    }
}

#[test]
fn an_answer_with_too_few_vectors_is_refused() {
    let asked = EmbedShape::Openai.read_request(br#"{"model": "m", "input": ["a", "b"]}"#).unwrap();
    let fault = EmbedShape::Gemini.answer(r#"{"embeddings": [{"values": [1]}]}"#.into(), &asked).unwrap_err();
    assert_eq!(fault.message, "the provider gave 1 vectors for 2 inputs");
}

#[test]
fn an_answer_in_the_callers_shape_passes_unless_its_form_is_wrong() {
    let numbers =
        r#"{"data": [{"index": 0, "embedding": [0.10]}], "usage": {"prompt_tokens": 3}, "id": "x"}"#;
    let answer = |body: &'static str, encoding: Value| {
        let asked = json!({"model": "m", "input": "a", "encoding_format": encoding});
        let asked = EmbedShape::Openai.read_request(asked.to_string().as_bytes()).unwrap();
        EmbedShape::Openai.answer(body.into(), &asked).unwrap()
    };
    for encoding in [Value::Null, json!("float")] {
        assert_eq!(answer(numbers, encoding).body, numbers);
    }
    let base64 = answer(numbers, json!("base64"));
    assert!(
        base64.body.starts_with(
            br#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"zczMPQ=="}"#
        )
    );
    assert_eq!(base64.usage.map(|usage| usage.input), Some(3));
    let other = r#"{"data": [{"embedding": "Aw=="}]}"#;
    assert_eq!(answer(other, json!("ubinary")).body, other);
}

#[test]
fn a_model_is_renamed_wherever_it_stands() {
    let renamed =
        |body: &str| String::from_utf8(EmbedShape::Gemini.renamed(body.as_bytes(), "x").unwrap()).unwrap();
    let batch = r#"{"requests":[{"model":"models/mine","content":{"parts":[{"text":"model"}]},"n":1.50},{"content":{}}]}"#;
    assert_eq!(renamed(batch), batch.replace("models/mine", "models/x"));
    assert_eq!(renamed(r#"{"model":"models/mine","content":{}}"#), r#"{"model":"models/x","content":{}}"#);
    assert_eq!(renamed(r#"{"content":{}}"#), r#"{"content":{}}"#);
}

#[test]
fn what_is_no_vector_is_refused() {
    let strange =
        [r#""AAA""#, r#""AAAAwH8=""#, r#""AA\/=""#, r#"[1e39]"#, r#"["NaN"]"#, "[[1]]", "{}", "null", "7"];
    for embedding in strange {
        let body = format!(r#"{{"data": [{{"embedding": {embedding}}}]}}"#);
        assert!(EmbedShape::Openai.read_response(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn base64_is_what_openai_writes() {
    // 1.0, -2.5 and 0.1 as floats of 32 bits, little-endian.
    let body = br#"{"data": [{"embedding": "AACAPwAAIMDNzMw9"}]}"#;
    let embedded = EmbedShape::Openai.read_response(body).unwrap();
    assert_eq!(embedded.vectors, [Vector::Bits(vec![1.0, -2.5, 0.1])]);
    assert_eq!(embedded.vectors, [Vector::Text("[1.0, -2.5, 0.1]".to_owned())]);
}

proptest! {
    #[test]
    fn base64_and_numbers_tell_the_same_floats(bits in prop::collection::vec(any::<u32>(), 0..40)) {
        let floats: Vec<f32> = bits.into_iter().map(f32::from_bits).filter(|float| float.is_finite()).collect();
        let asked = |encoding: &str| {
            let body = json!({"model": "m", "input": "a", "encoding_format": encoding});
            EmbedShape::Openai.read_request(body.to_string().as_bytes()).unwrap()
        };
        let given = crate::embed::Embedded { vectors: vec![Vector::Bits(floats)], ..Default::default() };
        let numbers = EmbedShape::Openai.write_response(&given, &asked("float"));
        let numbers = EmbedShape::Openai.read_response(&numbers).unwrap();
        prop_assert!(matches!(numbers.vectors.as_slice(), [Vector::Text(_)]));
        prop_assert_eq!(&numbers.vectors, &given.vectors);
        let base64 = EmbedShape::Openai.write_response(&numbers, &asked("base64"));
        let base64 = EmbedShape::Openai.read_response(&base64).unwrap();
        prop_assert!(matches!(base64.vectors.as_slice(), [Vector::Bits(_)]));
        prop_assert_eq!(base64.vectors, given.vectors);
    }

    #[test]
    fn any_bytes_of_embeddings_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(laws::any_embeddings(&bytes), Ok(()));
    }

    #[test]
    fn any_json_of_embeddings_keeps_the_laws(
        case in any::<prop::sample::Index>(),
        changes in prop::collection::vec(super::laws::change(), 1..4),
    ) {
        let text = super::laws::disturb(&case.get(&CASES).input, &changes);
        prop_assert_eq!(laws::any_embeddings(text.as_bytes()), Ok(()), "{}", text);
    }
}
