#![no_main]

use dialect::frame::sse::{Frame, Frames};

type Events = Vec<(Vec<u8>, Vec<u8>)>;

fn events(pieces: &[&[u8]]) -> (Events, usize) {
    let (mut frames, mut events) = (Frames::default(), Events::new());
    let mut note = |frame: Frame<'_>| {
        events.push((frame.event.to_vec(), frame.data.to_vec()));
        Ok(())
    };
    pieces.iter().for_each(|piece| frames.feed(piece, &mut note).unwrap());
    let open = frames.open();
    frames.finish(&mut note).unwrap();
    (events, open)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [length, stream @ ..] = data else { return };
    let (whole, open) = events(&[stream]);
    assert_eq!(events(&sekisho_fuzz::pieces(stream, *length)), (whole.clone(), open));
    assert_eq!(events(&sekisho_fuzz::pieces(stream, 0)), (whole, open));
    // What is not open ends with a whole event.
    assert_eq!(events(&[&stream[..stream.len() - open]]).1, 0);
});
