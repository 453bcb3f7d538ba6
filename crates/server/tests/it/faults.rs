//! What providers do when they fail, and what their caller sees of it: the whole answer, once. Each fault with
//! one fallback, for callers and targets of the same dialect and of different ones.
//!
//! The limits are a real configuration's on a scale of one to ten ([`SCALED`]): what takes 30 s there takes 3 s
//! here, and a race that begins after 10 s begins after 1 s.

use crate::support::{
    all_at_once,
    pair::{Api, Cell, Pair, Run, SCALED, is_sixty},
};
use std::time::Duration;
use testkit::provider::End;

/// A fault, what it is called, and how often each provider may be asked because of it.
struct Fault {
    name: &'static str,
    /// What the first provider does.
    trouble: &'static str,
    fallback: &'static str,
    streams: &'static [bool],
    /// The first provider sees so many requests, and the second.
    first: std::ops::RangeInclusive<usize>,
    second: usize,
    /// In so much time.
    within: Duration,
}

const BOTH: &[bool] = &[true, false];
const STREAM: &[bool] = &[true];

/// What any answer may take besides the waiting that a fault makes: the machine may be busy.
const SLACK: Duration = Duration::from_secs(3);

const fn fault(name: &'static str, trouble: &'static str) -> Fault {
    Fault { name, trouble, fallback: "", streams: BOTH, first: 1..=1, second: 1, within: SLACK }
}

const fn stream(name: &'static str, trouble: &'static str) -> Fault {
    Fault { streams: STREAM, ..fault(name, trouble) }
}

impl Fault {
    /// It cannot be noticed before this time.
    const fn after(self, millis: u64) -> Fault {
        Fault { within: Duration::from_millis(millis + 3_000), ..self }
    }

    /// Every caller gets the sixty words once, with a normal end, and is told truly where they came from.
    fn survived(&self) -> Pair {
        self.survived_with(SCALED, |_, _| {})
    }

    fn survived_with(&self, settings: &str, more: impl Fn(&Cell, &Run) + Sync) -> Pair {
        let pair = Pair::start(settings, self.trouble, self.fallback);
        let cells = Cell::all(self.streams);
        all_at_once(&cells, cells.len(), |cell| {
            let run = pair.ask(cell, "");
            self.check(cell, &run);
            more(cell, &run);
        });
        pair
    }

    fn check(&self, cell: &Cell, run: &Run) {
        let asked = (run.first.len(), run.second.len());
        println!(
            "{}, {}: {} after {:?}, asked {asked:?}",
            self.name,
            cell.alias(),
            run.answer.status,
            run.took
        );
        let place = format!("{}, {}: asked {asked:?}: {}", self.name, cell.alias(), run.answer.text());
        assert_eq!((run.answer.status, &run.heard.error), (200, &None), "{place}");
        assert!(is_sixty(&run.heard.text), "{place}");
        assert!(run.heard.ended, "{place}");
        assert_eq!(run.heard.output, Some(60), "{place}");
        assert!(self.first.contains(&asked.0) && asked.1 == self.second, "{place}");
        assert!(run.took < self.within, "{:?} {place}", run.took);
        let attempts = run.answer.header("x-sekisho-attempts").parse::<usize>();
        if run.answer.header("x-sekisho-target") == cell.second_target() {
            // It was taken over before the first byte: nothing of it is the first one's.
            assert_eq!(run.heard.model, format!("{}-b", cell.alias()), "{place}");
            assert_eq!(attempts, Ok(asked.0 + asked.1), "{place}");
        } else {
            assert_eq!(run.answer.header("x-sekisho-target"), cell.first_target(), "{place}");
            assert_eq!(run.heard.model, format!("{}-a", cell.alias()), "{place}");
        }
    }
}

#[test]
fn a_limit_that_is_met_once_is_passed_by() {
    fault("limited once", "status=429 retry-after=2 times=1").survived();
}

#[test]
fn a_limit_for_ever_is_met_once_and_then_passed_by() {
    let pair = fault("limited", "status=429 retry-after=20").survived();
    // The key rests: nobody is sent there for the next answer.
    for cell in Cell::all(BOTH) {
        let run = pair.ask(&cell, "");
        assert!(is_sixty(&run.heard.text), "{}", run.answer.text());
        assert_eq!((run.first.len(), run.second.len()), (0, 1), "{cell:?}");
    }
}

/// Every way in which a provider says when to come back. There is no other target.
const COME_BACK: [(&str, u64); 6] = [
    ("retry-after=2", 2_000),
    ("retry-after-date=2", 1_000),
    ("header.retry-after-ms=1500", 1_500),
    ("header.x-ratelimit-reset-requests=1.5s", 1_500),
    ("header.x-ratelimit-reset-tokens=1500ms header.x-ratelimit-remaining-tokens=0", 1_500),
    ("gap-ms=0", 0),
];

#[test]
fn who_is_alone_and_limited_is_asked_again_when_it_said() {
    let pair = Pair::start(SCALED, "", "");
    all_at_once(&COME_BACK, COME_BACK.len(), |(script, after)| {
        let model = format!("first-chat/{}", script.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let run = pair.ask_model(Api::Chat, &model, &format!("[[kit status=429 times=1 {script}]]"), true);
        assert_eq!((run.answer.status, run.first.len()), (200, 2), "{script}: {}", run.answer.text());
        let pause = run.first[1].arrived - run.first[0].arrived;
        println!("{script}: came back after {pause:?}");
        assert!(pause >= Duration::from_millis(*after), "{script}: {pause:?}");
        assert!(pause < Duration::from_millis(2_000) + SLACK, "{script}: {pause:?}");
    });
}

#[test]
fn who_is_alone_and_limited_for_ever_is_not_asked_in_a_tight_loop() {
    let pair = Pair::start(SCALED, "status=429 retry-after=1", "");
    let run = pair.ask_model(Api::Chat, "first-chat/m", "", true);
    assert_eq!((run.answer.status, run.answer.header("retry-after").as_str()), (429, "1"));
    assert!(run.first.len() <= 4, "{}", run.first.len());
    for pause in run.first.windows(2).map(|pair| pair[1].arrived - pair[0].arrived) {
        assert!(pause >= Duration::from_millis(990), "{pause:?}");
    }
    println!("given up after {:?} and {} requests", run.took, run.first.len());
}

#[test]
fn what_fails_once_is_asked_once_more() {
    Fault { first: 2..=2, second: 0, ..fault("failed once", "status=500 times=1") }.survived();
}

#[test]
fn what_is_overloaded_for_ever_is_given_up_after_its_retries() {
    Fault { first: 1..=3, ..fault("overloaded", "status=503") }.survived();
    // Who asks for more than a moment is given it.
    fault("overloaded for longer", "status=503 retry-after=5").survived();
}

#[test]
fn a_connection_that_breaks_before_the_answer_is_not_tried_again() {
    fault("reset before the head", "cut=head how=rst").survived();
    fault("closed before the head", "cut=head how=fin").survived();
}

#[test]
fn one_that_is_silent_is_asked_once_and_not_waited_for() {
    fault("silent", "silent").after(3_000).survived();
}

#[test]
fn a_late_first_token_is_outrun() {
    // 20 s on the scale of one to ten; whole answers are not raced before their first byte is late.
    let late = stream("late first token", "token-ms=2000");
    let late = Fault { within: Duration::from_millis(1_500) + SLACK, ..late };
    late.survived_with(SCALED, |cell, run| {
        assert_eq!(run.answer.header("x-sekisho-target"), cell.second_target());
        assert_eq!(run.first[0].ended(), Some(End::Cancelled));
    });
}

#[test]
fn a_late_first_token_is_outrun_with_real_limits() {
    let late = stream("late first token, unscaled", "token-ms=20000");
    let late = Fault { within: Duration::from_secs(15), ..late };
    late.survived_with("timeouts: {first_byte: 30s, idle: 30s}\nfailover: {retries: 2}\n", |cell, run| {
        assert_eq!(run.answer.header("x-sekisho-target"), cell.second_target());
    });
}

#[test]
fn a_stream_that_is_cut_is_gone_on_with() {
    stream("cut with FIN", "cut-token=40 how=fin").survived();
    stream("cut with RST", "cut-token=40 how=rst").survived();
    stream("ended too soon", "cut-token=40 how=eof").survived();
    stream("an error inside", "error-at=25").survived();
}

#[test]
fn a_whole_answer_that_is_cut_is_had_from_the_next() {
    let whole = |name, trouble| Fault { streams: &[false], ..fault(name, trouble) };
    whole("cut whole", "cut-token=40 how=fin").survived();
    whole("ended whole", "cut-token=40 how=eof").survived();
}

#[test]
fn a_stream_that_falls_silent_is_gone_on_with() {
    stream("stalled", "stall-token=20").after(3_000).survived();
}

#[test]
fn an_event_that_is_malformed_is_never_seen() {
    // It stands between two others, and nothing of the answer is in it.
    let noise = Fault { second: 0, ..stream("malformed", "noise-token=20") };
    noise.survived_with(SCALED, |cell, run| {
        for (_, data) in run.answer.events().iter().filter(|(_, data)| data != "[DONE]") {
            let read = serde_json::from_str::<serde_json::Value>(data);
            assert!(read.is_ok(), "{cell:?}: {data}");
        }
    });
}

#[test]
fn a_stream_that_does_not_end_is_ended() {
    // Its last word has come, and its connection stays open. Nothing is scaled here.
    let open = Fault { second: 0, ..stream("no last event", "done=no hang") };
    let open = Fault { within: Duration::from_secs(8), ..open };
    open.survived_with(&SCALED.replace("idle: 3s", "idle: 30s"), |_, _| {});
}

#[test]
fn a_prompt_that_is_too_long_is_asked_of_the_next() {
    fault("too long", "error=context").survived();
}

#[test]
fn what_a_filter_refuses_is_asked_of_nobody_else() {
    let pair = Pair::start(SCALED, "error=filter", "");
    let cells = Cell::all(BOTH);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        let place = format!("{cell:?}: {}", run.answer.text());
        assert_eq!((run.answer.status, run.first.len(), run.second.len()), (400, 1, 0), "{place}");
        let message = match cell.first {
            Api::Chat => "the prompt was filtered",
            Api::Messages => "Output blocked by content filtering policy",
        };
        assert!(run.answer.text().contains(message), "{place}");
    });
    // Where the operator wants it, the next is asked.
    let settings = SCALED.replace("retries: 2", "retries: 2, content_filter: true");
    fault("filtered", "error=filter").survived_with(&settings, |_, _| {});
}

#[test]
fn a_fallback_that_refuses_to_be_prefilled_goes_on_all_the_same() {
    let cut = stream("no prefill", "cut-token=40 how=rst");
    Fault { fallback: "prefill=no", ..cut }.survived();
}

#[test]
fn what_breaks_twice_is_gone_on_with_once_and_then_told() {
    let pair = Pair::start(SCALED, "cut-token=40 how=rst", "cut-token=50 how=rst");
    let cells = Cell::all(STREAM);
    all_at_once(&cells, cells.len(), |cell| {
        let run = pair.ask(cell, "");
        let place = format!("{cell:?}: {}", run.answer.text());
        assert_eq!((run.answer.status, run.heard.ended), (200, false), "{place}");
        assert_eq!(run.heard.text.trim_end().split(' ').count(), 50, "{place}");
        let code = if cell.caller == Api::Chat { "upstream_truncated" } else { "api_error" };
        assert_eq!(run.heard.error.as_deref(), Some(code), "{place}");
        assert!(run.answer.whole && !run.answer.text().contains("[DONE]"), "{place}");
    });
}
