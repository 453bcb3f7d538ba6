use super::*;
use proptest::prelude::*;

type Events = Vec<(String, String)>;

fn events(pieces: &[&[u8]]) -> Events {
    let mut frames = Frames::default();
    let mut events = Events::new();
    let mut note = |frame: Frame<'_>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        events.push((text(frame.event), text(frame.data)));
        Ok(())
    };
    for piece in pieces {
        frames.feed(piece, &mut note).unwrap();
    }
    frames.finish(&mut note).unwrap();
    events
}

/// The standard's algorithm, step by step, over the whole stream; then our three deviations.
fn reference(stream: &[u8]) -> Events {
    let text = String::from_utf8_lossy(stream.strip_prefix(BOM).unwrap_or(stream)).into_owned();
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.push("");
    let (mut events, mut event, mut data) = (Events::new(), String::new(), String::new());
    let (mut begun, mut bare) = (false, false);
    for line in lines {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                events.push((event.clone(), data.to_owned()));
            }
            (event, data, begun, bare) = Default::default();
            continue;
        }
        bare |= !begun && line.trim_ascii_start().starts_with(['{', '[']);
        if bare {
            begun = true;
            data += &format!("{line}\n");
            continue;
        }
        if line.starts_with(':') {
            continue;
        }
        begun = true;
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data += &format!("{value}\n"),
            "event" => event = value.to_owned(),
            "error" => {
                event = "error".to_owned();
                data += &format!("{value}\n");
            }
            _ => {}
        }
    }
    events
}

fn check(stream: &str, expected: &[(&str, &str)]) {
    let expected: Events =
        expected.iter().map(|(event, data)| (event.to_string(), data.to_string())).collect();
    assert_eq!(events(&[stream.as_bytes()]), expected, "whole: {stream:?}");
    let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
    assert_eq!(events(&bytes), expected, "byte by byte: {stream:?}");
    assert_eq!(reference(stream.as_bytes()), expected, "reference: {stream:?}");
}

#[test]
fn streams() {
    check("", &[]);
    check("data: a\n\n", &[("", "a")]);
    check("data:a\r\n\r\ndata:b\r\rdata: c\n\r\n", &[("", "a"), ("", "b"), ("", "c")]);
    check("data:  two spaces\n\n", &[("", " two spaces")]);
    check("event: x\ndata: a\ndata: b\n\n", &[("x", "a\nb")]);
    check("data: a\nevent: x\nevent: y\n\ndata: b\n\n", &[("y", "a"), ("", "b")]);
    check("data\n\ndata\ndata\n\ndata:\n\n", &[("", ""), ("", "\n"), ("", "")]);
    check("event: lost\n\ndata: a\n\n", &[("", "a")]);
    check(": comment\n\n:\ndata: a\n: inside\ndata: b\n\n", &[("", "a\nb")]);
    check("id: 7\nretry: 10\nDATA: no\n data: no\nunknown\ndata: a\n\n", &[("", "a")]);
    check("data: with: colon\n\n", &[("", "with: colon")]);
    check("\n\r\n\rdata: a\n\n\n\n", &[("", "a")]);
    check("data: \u{FEFF}a\u{0}b\n\n", &[("", "\u{FEFF}a\u{0}b")]);
}

#[test]
fn the_byte_order_mark_is_stripped_once() {
    check("\u{FEFF}data: a\n\n\u{FEFF}data: b\n\n", &[("", "a")]);
    check("\u{FEFF}{}", &[("", "{}")]);
}

#[test]
fn what_is_left_at_the_end_is_an_event() {
    check("data: a", &[("", "a")]);
    check("data: a\n", &[("", "a")]);
    check("data: a\r", &[("", "a")]);
    check("data: a\nevent: x", &[("x", "a")]);
    check("event: x\n", &[]);
}

#[test]
fn what_servers_do_against_the_standard() {
    check("data: a\n\nerror: {\"code\":500}\n\n", &[("", "a"), ("error", "{\"code\":500}")]);
    check("{\n  \"error\": {}\n}\n", &[("", "{\n  \"error\": {}\n}")]);
    check("  [{\"error\":1}]", &[("", "  [{\"error\":1}]")]);
    check("data: a\r\n\r\n{\r\n:x\r\n}\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "{\n:x\n}"), ("", "b")]);
    check("data: a\n{\"not\": \"bare\"}\n\n", &[("", "a")]);
}

#[test]
fn an_event_in_one_piece_is_not_copied() {
    let stream = b"event: x\ndata: {}\n\n";
    let mut frames = Frames::default();
    let mut seen = 0;
    let mut note = |frame: Frame<'_>| {
        assert!(stream.as_ptr_range().contains(&frame.event.as_ptr()));
        assert!(stream.as_ptr_range().contains(&frame.data.as_ptr()));
        seen += 1;
        Ok(())
    };
    frames.feed(stream, &mut note).unwrap();
    assert_eq!(seen, 1);
}

/// `open` after each piece.
fn open(pieces: &[&str]) -> Vec<usize> {
    let mut frames = Frames::default();
    let mut after = |piece: &&str| {
        frames.feed(piece.as_bytes(), &mut |_| Ok(())).unwrap();
        frames.open()
    };
    pieces.iter().map(&mut after).collect()
}

#[test]
fn the_open_tail_is_counted() {
    assert_eq!(open(&["data: a\n\n", "data", ": b\n", "\n"]), [0, 4, 8, 0]);
    assert_eq!(open(&["data: a\r", "\n", "\r", "\n", "x"]), [8, 9, 0, 0, 1]);
    assert_eq!(open(&[": ping\n", ": pi", "ng\n\n"]), [0, 4, 0]);
    assert_eq!(open(&["data: a\n\ndata: b\n: c\n"]), [12]);
    assert_eq!(open(&["data: a\n\n\ndat", "", "a\n\n\r\n\r"]), [3, 3, 0]);
}

#[test]
fn the_longest_line_passes_and_a_longer_one_does_not() {
    let line = |length: usize| [b"data:".as_slice(), &vec![b'a'; length - 5]].concat();
    for (length, passes) in [(SSE_LINE_MAX - 1, true), (SSE_LINE_MAX, false)] {
        for pieces in [1, 3] {
            let mut bytes = line(length);
            bytes.push(b'\n');
            let mut frames = Frames::default();
            let result =
                bytes.chunks(bytes.len() / pieces).try_for_each(|piece| frames.feed(piece, &mut |_| Ok(())));
            assert_eq!(result.is_ok(), passes, "{length} bytes in {pieces} pieces");
        }
    }
}

#[test]
fn an_event_of_many_lines_has_a_limit() {
    let line = format!("data: {}\n", "a".repeat(1 << 20));
    let mut frames = Frames::default();
    let mut feed = || frames.feed(line.as_bytes(), &mut |_| Ok(()));
    assert!((0..3).all(|_| feed().is_ok()));
    assert_eq!(feed().unwrap_err().kind, FaultKind::UpstreamInvalid);
}

#[test]
fn comments_between_events_are_not_gathered() {
    let comment = format!(": {}\n", "a".repeat(1 << 20));
    let mut frames = Frames::default();
    for _ in 0..10 {
        frames.feed(comment.as_bytes(), &mut |_| Ok(())).unwrap();
    }
}

/// Pieces that are likely to collide with the grammar.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&[u8]] = &[
        b"data",
        b"event",
        b"error",
        b"id",
        b"retry",
        b":",
        b": ",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"{",
        b"[",
        b"}",
        BOM,
        b"\xEF",
        b"a",
        b"\xC3\xA9",
        b"\0",
    ];
    prop_oneof![
        4 => prop::sample::select(words).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_what_the_standard_says(pieces in prop::collection::vec(piece(), 0..40)) {
        let stream = pieces.concat();
        let split: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        let expected = reference(&stream);
        prop_assert_eq!(events(&[&stream]), expected.clone());
        prop_assert_eq!(events(&split), expected.clone());
        prop_assert_eq!(events(&bytes), expected);
    }

    #[test]
    fn the_open_tail_does_not_depend_on_the_split(pieces in prop::collection::vec(piece(), 0..40)) {
        let stream = pieces.concat();
        let (mut whole, mut split) = (Frames::default(), Frames::default());
        whole.feed(&stream, &mut |_| Ok(())).unwrap();
        for piece in &pieces {
            split.feed(piece, &mut |_| Ok(())).unwrap();
        }
        prop_assert_eq!(whole.open(), split.open());
        let closed = &stream[..stream.len() - whole.open()];
        let mut frames = Frames::default();
        frames.feed(closed, &mut |_| Ok(())).unwrap();
        prop_assert_eq!(frames.open(), 0);
    }
}
