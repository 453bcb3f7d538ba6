use super::*;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message as Official};
use proptest::{prelude::*, sample::Index};

type Seen = (Vec<(String, String)>, Result<(), Fault>, usize);

/// The frames of pieces, how they ended, and how many bytes stayed open.
fn cut(pieces: &[&[u8]]) -> Seen {
    let (mut frames, mut seen) = (Frames::default(), Vec::new());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fed = pieces.iter().try_for_each(|piece| {
        frames.feed(piece, &mut |frame| {
            seen.push((text(frame.event), text(frame.data)));
            Ok(())
        })
    });
    (seen, fed.and_then(|()| frames.finish()), frames.open())
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_event(&mut out, name, payload.as_bytes());
    out
}

fn official(headers: Vec<Header>, payload: &[u8]) -> Vec<u8> {
    let message = headers.into_iter().fold(Official::new(payload.to_vec()), Official::add_header);
    let mut out = Vec::new();
    write_message_to(&message, &mut out).unwrap();
    out
}

fn text(name: &'static str, value: &str) -> Header {
    Header::new(name, HeaderValue::String(value.to_owned().into()))
}

#[test]
fn exceptions_and_errors_tell_their_names() {
    let mut stream = event("messageStart", "{}");
    write_exception(&mut stream, "throttlingException", br#"{"message":"slow"}"#);
    let headers = vec![
        text(":message-type", "error"),
        text(":error-code", "Oops"),
        text(":error-message", "gone \"now\""),
    ];
    stream.extend(official(headers, b""));
    let told = |name: &str, data: &str| (name.to_owned(), data.to_owned());
    let expected = vec![
        told("messageStart", "{}"),
        told("error", r#"{"message":"slow","__type":"throttlingException"}"#),
        told("error", r#"{"message":"gone \"now\"","__type":"Oops"}"#),
    ];
    assert_eq!(cut(&[&stream]), (expected, Ok(()), 0));
}

#[test]
fn what_is_wrong_behind_a_whole_frame_is_told_when_that_has_gone_on() {
    let mut stream = event("a", "{}");
    let whole = stream.len();
    stream.extend(event("b", "{}"));
    *stream.last_mut().unwrap() ^= 1;
    let mut frames = Frames::default();
    let mut count = 0;
    let mut each = |_: Frame<'_>| {
        count += 1;
        Ok(())
    };
    assert_eq!(frames.feed(&stream, &mut each), Ok(()));
    assert_eq!(frames.open(), stream.len() - whole);
    let fault = frames.feed(b"", &mut each).unwrap_err();
    assert_eq!((count, fault.kind), (1, FaultKind::UpstreamInvalid));
    assert_eq!(cut(&[&stream[whole..]]).1.unwrap_err(), fault);
}

/// A prelude with the right checksum.
fn prelude(length: usize, headers: usize) -> Vec<u8> {
    let mut out: Vec<u8> =
        [length, headers].iter().flat_map(|n| u32::try_from(*n).unwrap().to_be_bytes()).collect();
    sign(&mut out, 0);
    out
}

#[test]
fn a_frame_has_a_limit() {
    for (length, headers, fits) in [
        (AWS_FRAME_MAX, AWS_HEADERS_MAX, true),
        (AWS_FRAME_MAX + 1, 0, false),
        (AWS_FRAME_MAX, AWS_HEADERS_MAX + 1, false),
        (PRELUDE + CHECKSUM, 0, true),
        (PRELUDE + CHECKSUM - 1, 0, false),
    ] {
        assert_eq!(cut(&[&prelude(length, headers)]).1.is_ok(), fits, "{length} {headers}");
    }
}

#[test]
fn what_is_no_event_stream_is_refused() {
    for bytes in [&b"{\"message\":\"no\"}"[..], b"data: {}\n\ndata: {}\n\n", &[0; 16]] {
        assert_eq!(cut(&[bytes]).1.unwrap_err().kind, FaultKind::UpstreamInvalid);
    }
    let mut headers = event("a", "{}");
    // The value of the first header is said to be longer than all headers.
    headers[PRELUDE + 13] = 0xFF;
    let end = headers.len() - CHECKSUM;
    headers.truncate(end);
    sign(&mut headers, 0);
    assert!(cut(&[&headers]).1.is_err());
}

fn value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i8>().prop_map(HeaderValue::Byte),
        any::<i16>().prop_map(HeaderValue::Int16),
        any::<i32>().prop_map(HeaderValue::Int32),
        any::<i64>().prop_map(HeaderValue::Int64),
        any::<u128>().prop_map(HeaderValue::Uuid),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| HeaderValue::ByteArray(bytes.into())),
        ".{0,20}".prop_map(|text| HeaderValue::String(text.into())),
    ]
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    let header = ("[a-z-]{1,20}", value()).prop_map(|(name, value)| Header::new(name, value));
    prop::collection::vec(header, 0..5)
}

proptest! {
    /// AWS's own library writes what we read, whatever headers there are, in any pieces.
    #[test]
    fn what_aws_writes_is_read(
        messages in prop::collection::vec((headers(), "[a-zA-Z]{1,12}", ".{0,60}"), 0..6),
        cuts in prop::collection::vec(any::<Index>(), 0..8),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for (mut headers, name, payload) in messages {
            headers.insert(headers.len() / 2, text(":event-type", &name));
            headers.push(text(":message-type", "event"));
            stream.extend(official(headers, payload.as_bytes()));
            expected.push((name, payload));
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.sort_unstable();
        let (mut pieces, mut at) = (Vec::new(), 0);
        for cut in cuts {
            pieces.push(&stream[at..cut]);
            at = cut;
        }
        pieces.push(&stream[at..]);
        prop_assert_eq!(cut(&pieces), (expected, Ok(()), 0));
    }

    /// … and reads what we write, byte for byte as it would write it.
    #[test]
    fn what_we_write_aws_reads(name in "[a-zA-Z]{1,20}", payload in ".{0,200}") {
        let written = event(&name, &payload);
        let mut decoder = MessageFrameDecoder::new();
        let decoded = decoder.decode_frame(&mut written.as_slice()).unwrap();
        let DecodedFrame::Complete(message) = decoded else { panic!("not whole") };
        prop_assert_eq!(&message.payload()[..], payload.as_bytes());
        prop_assert_eq!(official(message.headers().to_vec(), payload.as_bytes()), written);
    }

    /// A changed byte is found, wherever it is, and so is a stream that is cut.
    #[test]
    fn a_changed_byte_is_found(at: Index, bit in 0u8..8) {
        let mut stream = event("contentBlockDelta", r#"{"delta":{"text":"hi"}}"#);
        let at = at.index(stream.len());
        prop_assert_eq!(cut(&[&stream[..at]]).2, at);
        stream[at] ^= 1 << bit;
        prop_assert!(cut(&[&stream]).1.is_err());
    }
}
