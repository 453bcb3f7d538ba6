use super::*;
use crate::{
    Carried, Dialect, FaultKind, Glance, Paths, Reader, Seen, Target, Writer, canon::Message,
    frame::sse::Frame, limits::METERED_BODY_MAX,
};
use proptest::prelude::*;

/// A dialect of words: `start` is a lifecycle event, `end` the terminal one, `error` an error, any other
/// word is content; the usage is how many words there were.
struct Words;

#[derive(Default)]
struct WordsGlance(Seen);

impl Glance for WordsGlance {
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Fault> {
        let words = self.0.usage.take().map_or(0, |usage| usage.output);
        self.0.usage = Some(Usage { output: words + 1, ..Usage::default() });
        match frame.data {
            b"start" => {}
            b"end" => self.0.ended = true,
            b"error" => return Err(Fault::new(FaultKind::UpstreamOverloaded, "error")),
            _ => self.0.content = true,
        }
        Ok(())
    }

    fn seen(&self) -> &Seen {
        &self.0
    }
}

impl Dialect for Words {
    fn glance(&self) -> Box<dyn Glance> {
        Box::new(WordsGlance::default())
    }
    fn read_usage(&self, body: &[u8]) -> Option<Usage> {
        Some(Usage { output: body.len() as u64, ..Usage::default() })
    }
    fn write_stream_fault(&self, fault: &Fault) -> Vec<u8> {
        format!("data: error {}\n\n", fault.message).into_bytes()
    }
    fn id(&self) -> DialectId {
        unreachable!()
    }
    fn paths(&self) -> Paths {
        unreachable!()
    }
    fn read_request(&self, _: &[u8]) -> Result<Carried<Request>, Fault> {
        unreachable!()
    }
    fn write_request(&self, _: &Request, _: &Target<'_>) -> Carried<Vec<u8>> {
        unreachable!()
    }
    fn read_response(&self, _: &[u8]) -> Result<Carried<Message>, Fault> {
        unreachable!()
    }
    fn write_response(&self, _: &Message) -> Carried<Vec<u8>> {
        unreachable!()
    }
    fn reader(&self) -> Box<dyn Reader> {
        unreachable!()
    }
    fn writer(&self, _: &Request) -> Box<dyn Writer> {
        unreachable!()
    }
    fn read_fault(&self, _: u16, _: &[u8]) -> Fault {
        unreachable!()
    }
    fn write_fault(&self, _: &Fault) -> Vec<u8> {
        unreachable!()
    }
}

fn relay() -> Pipe {
    Pipe::new(Way::Relay(Box::new(Relay::new(&Words))))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Feeds the pieces and finishes; what came out, and how it ended.
fn run(pipe: &mut Pipe, pieces: &[&str]) -> (String, Result<(), Fault>) {
    let mut out = Vec::new();
    let fed = pieces.iter().try_for_each(|piece| pipe.feed(bytes(piece), &mut out));
    let ended = fed.and_then(|()| pipe.finish(&mut out));
    (String::from_utf8(out.concat()).unwrap(), ended)
}

#[test]
fn a_whole_stream_passes_untouched() {
    for stream in [
        "data: a\n\ndata: end\n\n",
        "\u{FEFF}: hi\r\n\r\ndata: start\r\rdata: a\r\n\r\nevent: x\nid: 1\ndata: b\n\ndata: end\n\n",
        "data: a\n\n: odd\n\ndata: end\n",
        "data: a\n\ndata: end",
        "data: a\n\ndata: end\n\n: behind the end\n",
        "data: a\n\ndata: end\n\nhalf",
    ] {
        let mut pipe = relay();
        assert_eq!(run(&mut pipe, &[stream]), (stream.to_owned(), Ok(())));
        assert!(pipe.content() && pipe.usage().is_some() && pipe.losses().is_empty());
    }
}

#[test]
fn only_whole_events_go_on() {
    let mut pipe = relay();
    let mut feed = |chunk: &str| {
        let mut out = Vec::new();
        pipe.feed(bytes(chunk), &mut out).unwrap();
        String::from_utf8(out.concat()).unwrap()
    };
    assert_eq!(feed("data: a\n\ndata"), "data: a\n\n");
    assert_eq!(feed(": b"), "");
    assert_eq!(feed("\n"), "");
    assert_eq!(feed("\r"), "data: b\n\r");
    assert_eq!(feed("\n: ping\nda"), "\n: ping\n");
    assert_eq!(feed("ta: c\n\ndata: d\n\ndata: "), "data: c\n\ndata: d\n\n");
}

#[test]
fn a_chunk_of_whole_events_is_not_copied() {
    let chunk = bytes("data: a\n\ndata: b\n\n");
    let mut out = Vec::new();
    relay().feed(chunk.clone(), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), chunk.as_ptr());
}

#[test]
fn content_commits_and_lifecycle_does_not() {
    let (mut pipe, mut out) = (relay(), Vec::new());
    assert!(!pipe.content());
    pipe.feed(bytes(": ping\n\ndata: start\n\n"), &mut out).unwrap();
    assert!(!pipe.content());
    pipe.feed(bytes("data: a\n\n"), &mut out).unwrap();
    assert!(pipe.content());
}

#[test]
fn an_error_before_content_is_ours_to_handle() {
    let (mut pipe, mut out) = (relay(), Vec::new());
    let error = pipe.feed(bytes("data: start\n\ndata: error\n\n"), &mut out).unwrap_err();
    assert_eq!((error.kind, out.len(), pipe.content()), (FaultKind::UpstreamOverloaded, 0, false));
    let (text, ended) = run(&mut relay(), &["data: error"]);
    assert_eq!((text.as_str(), ended.unwrap_err().kind), ("", FaultKind::UpstreamOverloaded));
}

#[test]
fn an_error_after_content_passes_and_is_remembered() {
    for stream in
        ["data: a\n\ndata: error\n\n", "data: a\n\ndata: error", "data: a\n\ndata: error\n\ndata: b\n\n"]
    {
        let mut pipe = relay();
        assert_eq!(run(&mut pipe, &[stream]), (stream.to_owned(), Ok(())));
        assert_eq!(pipe.failed().unwrap().kind, FaultKind::UpstreamOverloaded);
    }
}

#[test]
fn a_stream_without_its_end_is_truncated() {
    for stream in ["", "data: start\n\n", "data: a\n\n", "data: a\n\ndata: en"] {
        let (text, ended) = run(&mut relay(), &[stream]);
        let last_whole = stream.rfind("\n\n").map_or(0, |at| at + 2);
        // Content was in the half event, so it is not an error of ours, but it is not passed on either.
        assert_eq!(text, stream[..last_whole]);
        assert_eq!(ended.unwrap_err().kind, FaultKind::UpstreamTruncated);
    }
}

#[test]
fn nothing_comes_after_a_fault() {
    let (mut pipe, mut out) = (relay(), Vec::new());
    pipe.feed(bytes("data: a\n\ndata: b"), &mut out).unwrap();
    let fault = Fault::new(FaultKind::UpstreamTimeout, "late");
    pipe.fault(&fault, &mut out);
    pipe.fault(&fault, &mut out);
    pipe.feed(bytes("\n\ndata: end\n\n"), &mut out).unwrap();
    pipe.finish(&mut out).unwrap();
    assert_eq!(out.concat(), b"data: a\n\ndata: error late\n\n");
}

#[test]
fn whole_answers_pass_and_are_metered_up_to_a_limit() {
    let mut pipe = Pipe::new(Way::Meter(Meter::new(&Words, false)));
    assert_eq!(run(&mut pipe, &["{\"a\"", ":1}"]), ("{\"a\":1}".to_owned(), Ok(())));
    assert_eq!(pipe.usage().unwrap().output, 7);

    let mut pipe = Pipe::new(Way::Meter(Meter::new(&Words, false)));
    let half = "a".repeat(METERED_BODY_MAX / 2);
    let (text, ended) = run(&mut pipe, &[&half, &half, "a"]);
    assert_eq!((text.len(), ended, pipe.usage()), (METERED_BODY_MAX + 1, Ok(()), None));
}

#[test]
fn a_broken_whole_answer_gets_nothing_more() {
    for mut pipe in [Pipe::raw(), Pipe::new(Way::Meter(Meter::new(&Words, false)))] {
        let mut out = Vec::new();
        pipe.feed(bytes("{"), &mut out).unwrap();
        pipe.fault(&Fault::new(FaultKind::UpstreamTimeout, "late"), &mut out);
        assert_eq!(out.concat(), b"{");
    }
}

#[test]
fn raw_bytes_pass() {
    let mut pipe = Pipe::raw();
    assert!(!pipe.content());
    assert_eq!(run(&mut pipe, &["data: error\n\n", "", "x"]), ("data: error\n\nx".to_owned(), Ok(())));
    assert!(pipe.content() && pipe.usage().is_none());
}

fn piece() -> impl Strategy<Value = String> {
    let words: &[&str] = &[
        "data: a\n\n",
        "data: end\n\n",
        "data: error\r\n\r\n",
        "data: start\n\n",
        "data:",
        " ",
        "event: x",
        "\n",
        "\r",
        "\r\n",
        ": ping\n",
        "a",
        "end",
        "error",
        "\u{FEFF}",
        "{",
    ];
    prop::sample::select(words).prop_map(str::to_owned)
}

#[test]
fn an_answer_without_id_model_or_time_is_given_the_requests() {
    let whole = r#"{"message":{"content":[]},"finish_reason":"COMPLETE"}"#;
    let stream = "data: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\"}}\n\n";
    for (streamed, body) in [(false, whole), (true, stream)] {
        for wanted in [false, true] {
            let mut request = Request::new(DialectId::OpenaiChat, "the-callers");
            request.stream = Some(wanted);
            let mut pipe = Pipe::translate(DialectId::Cohere, streamed, &request).of("req-7", 1_700_000_000);
            let mut out = Vec::new();
            pipe.feed(Bytes::from(body), &mut out).unwrap();
            pipe.finish(&mut out).unwrap();
            let text = String::from_utf8(out.concat()).unwrap();
            for told in [r#""id":"req-7""#, r#""model":"the-callers""#, r#""created":1700000000"#] {
                assert!(text.contains(told), "{told}: {text}");
            }
        }
    }
}

proptest! {
    #[test]
    fn any_split_of_a_relay_gives_the_same(pieces in prop::collection::vec(piece(), 0..30)) {
        let stream = pieces.concat();
        let split: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let (mut one, mut many) = (relay(), relay());
        let (whole, pieced) = (run(&mut one, &[&stream]), run(&mut many, &split));
        prop_assert_eq!(&whole.1, &pieced.1);
        prop_assert_eq!(one.failed(), many.failed());
        if whole.1.is_ok() && !stream.contains('{') {
            prop_assert_eq!(&whole.0, &stream);
        }
        if one.content() {
            prop_assert_eq!(whole.0, pieced.0);
            prop_assert_eq!(one.usage(), many.usage());
        }
    }
}

/// What a client reads of a stream of words that it wants as an array.
fn listed(stream: &[u8], cut: usize, ends: bool) -> String {
    let mut pipe = relay().listed();
    let mut out = Vec::new();
    for chunk in stream.chunks(cut) {
        pipe.feed(Bytes::copy_from_slice(chunk), &mut out).unwrap();
    }
    if ends {
        pipe.finish(&mut out).unwrap();
    } else {
        pipe.fault(&Fault::new(FaultKind::UpstreamTruncated, "cut"), &mut out);
    }
    String::from_utf8(out.concat()).unwrap()
}

#[test]
fn a_stream_can_be_told_as_an_array_however_it_is_cut() {
    let stream = b"data: start\n\n: comment\n\ndata: word\r\n\r\ndata: end\n\n";
    for cut in 1..stream.len() {
        assert_eq!(listed(stream, cut, true), "[start,\r\nword,\r\nend]");
    }
    assert_eq!(listed(b"data: start\n\ndata: wo", 5, false), "[start,\r\nerror cut]");
    // Only the empty line behind the last event is missing.
    assert_eq!(listed(b"data: start\n\ndata: end\n", 5, true), "[start,\r\nend]");
}

#[test]
fn embeddings_are_gathered_and_answered_whole() {
    let asked =
        EmbedShape::Openai.read_request(br#"{"model": "m", "input": "a", "encoding_format": "base64"}"#);
    let mut pipe = Pipe::embed(EmbedShape::Gemini, asked.unwrap());
    let mut out = Vec::new();
    for piece in [r#"{"embedding": {"values": [0.1"#, r#"0]}, "usageMetadata": {"promptTokenCount": 2}}"#] {
        pipe.feed(piece.into(), &mut out).unwrap();
    }
    assert!(out.is_empty() && !pipe.content());
    pipe.finish(&mut out).unwrap();
    assert!(pipe.content());
    assert!(
        out.concat().starts_with(
            br#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":"zczMPQ=="}"#
        )
    );
    assert_eq!(pipe.usage().map(|usage| usage.input), Some(2));
}

#[test]
fn embeddings_that_are_an_error_or_too_large_are_a_fault() {
    let asked = EmbedShape::Openai.read_request(br#"{"model": "m", "input": "a"}"#).unwrap();
    let mut pipe = Pipe::embed(EmbedShape::Gemini, asked.clone());
    pipe.feed(r#"{"error": {"message": "no", "code": 503}}"#.into(), &mut Vec::new()).unwrap();
    assert_eq!(pipe.finish(&mut Vec::new()).unwrap_err().kind, FaultKind::UpstreamOverloaded);
    let mut pipe = Pipe::embed(EmbedShape::Gemini, asked);
    let piece = Bytes::from(vec![b' '; crate::limits::ANSWER_MAX]);
    pipe.feed(piece, &mut Vec::new()).unwrap();
    assert_eq!(pipe.feed(" ".into(), &mut Vec::new()).unwrap_err().kind, FaultKind::UpstreamInvalid);
}

#[test]
fn an_event_of_broken_json_is_left_out_wherever_it_is_cut() {
    let stream =
        b"data: start\n\nevent: x\ndata: {\"a\":1}\n\ndata: {\"a\": tr\n\ndata: word\n\ndata: end\n\n";
    for cut in 1..stream.len() {
        let mut pipe = relay();
        let mut out = Vec::new();
        for chunk in stream.chunks(cut) {
            pipe.feed(Bytes::copy_from_slice(chunk), &mut out).unwrap();
        }
        pipe.finish(&mut out).unwrap();
        let told = String::from_utf8(out.concat()).unwrap();
        assert_eq!(told, "data: start\n\nevent: x\ndata: {\"a\":1}\n\ndata: word\n\ndata: end\n\n", "{cut}");
    }
    assert!(cut_off(b"data: start\n\ndata: word\n\ndata: {\"a\":").is_err());
}

/// What comes of a stream that ends like this.
fn cut_off(stream: &[u8]) -> Result<(), Fault> {
    let mut pipe = relay();
    pipe.feed(Bytes::copy_from_slice(stream), &mut Vec::new())?;
    pipe.finish(&mut Vec::new())
}
