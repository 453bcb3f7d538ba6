//! What is done about an attempt that failed, by what the provider said or did.

use super::{hand::Hand, plan};
use crate::{
    exchange::{Io, Report, Upstream},
    ledger::{Answer, Command, Ledger, Note, Verdict},
    limits::{BACKOFF, BREAKER_SHARE},
    plan::Plan,
    tiers::mix,
    time::{Instant, Span},
};
use dialect::{FaultKind, fault::Blame};
use std::{fs, path::PathBuf};

const WHOLE: &str = r#"{"model":"m","messages":[{"role":"user","content":"why"}]}"#;
const STREAM: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"why"}]}"#;

/// Targets of `a`, which speaks `dialect`, and of `b`.
fn both(dialect: &str, targets: &str, more: &str) -> Plan {
    plan(
        &[],
        &format!(
            "environment: false\n\
             providers:\n  \
               a: {{base_url: 'http://a/v1', dialect: {dialect}, keys: [key-one, key-two]}}\n  \
               b: {{base_url: 'http://b/v1', keys: []}}\n\
             models: {{m: [{targets}], other: [a/other]}}\n{more}"
        ),
    )
}

impl Hand {
    /// Whose turn it was, by its key or its name.
    fn asked(&self) -> Vec<&'static str> {
        let has = |sent: &Upstream, key: &str| {
            sent.headers.values().any(|value| value.to_str().is_ok_and(|value| value.contains(key)))
        };
        let name = |sent| match (has(sent, "key-one"), has(sent, "key-two")) {
            (true, _) => "one",
            (_, true) => "two",
            _ => "b",
        };
        self.sent.iter().map(name).collect()
    }

    /// The same with the pauses between them.
    fn course(&self) -> String {
        let pauses = self.times.windows(2).map(|pair| pair[1].since(pair[0]).0 / 1_000);
        let pause = |pause| if pause > 0 { format!("+{pause}") } else { String::new() };
        let pauses = [0].into_iter().chain(pauses).map(pause);
        self.asked()
            .into_iter()
            .zip(pauses)
            .map(|(who, pause)| format!("{who}{pause}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Whoever is asked of `a` answers so, until `b` is asked or all is over.
    fn refused(&mut self, said: &str, body: &str) {
        let (status, fields) = said.split_once(' ').unwrap_or((said, ""));
        let fields: Vec<_> = fields.split_once(": ").into_iter().collect();
        let mut answered = 0;
        while self.record.is_none() && self.asked().last() != Some(&"b") {
            match self.sent.len() {
                asked if asked == answered => self.wake(),
                asked => {
                    answered = asked;
                    self.answers_with(status.parse().unwrap(), &fields, body.to_owned());
                    self.report(Report::End);
                }
            }
        }
    }
}

/// Who is asked when the first provider says this each time, and what the caller is told at the end.
fn course(dialect: &str, targets: &str, said: &str, body: &str) -> String {
    let mut hand = Hand::new(Ledger::default(), both(dialect, targets, ""), WHOLE);
    hand.refused(said, body);
    let status = hand.record.as_ref().and_then(|record| record.status);
    let status = status.map_or(String::new(), |status| format!(" {status}"));
    hand.course() + &status
}

#[test]
fn the_table_says_who_is_asked_then() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../cases/failover/remedies.txt");
    let table = fs::read_to_string(&path).expect("the table is there");
    let row = |line: &str| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [dialect, said, body, ..] = columns.as_slice() else { return line.to_owned() };
        let with = |targets| course(dialect, targets, said, body);
        [*dialect, said, body, &with("a/m, b/m"), &with("a/m")].join(" | ")
    };
    let found: String = table
        .lines()
        .map(|line| if line.starts_with('#') { line.to_owned() } else { row(line) } + "\n")
        .collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &found).expect("the table can be written");
    }
    assert!(table == found || std::env::var_os("UPDATE_EXPECT").is_some(), "found:\n{found}");
}

#[test]
fn pauses_are_by_chance_and_grow() {
    let mut pauses = [Vec::new(), Vec::new()];
    for roll in 0..200 {
        let plan = both("openai_chat", "a/m", "failover: {retries: 2}");
        let mut hand = Hand::begin(Ledger::default(), plan, WHOLE, (Instant::default(), mix(roll)));
        hand.refused("500", "{}");
        assert_eq!(hand.sent.len(), 4);
        let pairs = hand.times.windows(2).map(|pair| pair[1].since(pair[0]));
        pauses.iter_mut().zip(pairs).for_each(|(all, pause)| all.push(pause));
    }
    for (pauses, longest) in pauses.iter_mut().zip([BACKOFF, Span(BACKOFF.0 * 2)]) {
        pauses.sort_unstable();
        let [least, half, most] = [0, 100, 199].map(|place| pauses[place].0 as f64 / longest.0 as f64);
        assert!(least < 0.1 && (0.3..0.7).contains(&half) && (0.9..=1.0).contains(&most), "{pauses:?}");
    }
}

#[test]
fn nobody_waits_for_what_comes_after_the_deadline() {
    for (total, expected) in [("3s", "one two one+2000 two"), ("1s", "one two")] {
        let plan = both("openai_chat", "a/m", &format!("timeouts: {{total: {total}}}"));
        let mut hand = Hand::new(Ledger::default(), plan, WHOLE);
        hand.refused("429 retry-after: 2", "{}");
        assert_eq!(hand.course(), expected);
        assert_eq!(hand.record.and_then(|record| record.status), Some(429), "in the provider's words");
    }
}

/// What a provider does until it falls silent.
#[derive(Clone, Copy, Debug)]
enum Silence {
    AtOnce,
    BehindTheHead,
    /// Behind an event without words.
    BehindARole,
    BehindWords,
}

#[test]
fn each_limit_ends_what_it_is_for() {
    use Silence::{AtOnce, BehindARole, BehindTheHead, BehindWords};
    for (limit, silence, asked) in [
        ("first_byte", AtOnce, "one b+5000"),
        ("first_byte", BehindTheHead, "one"),
        ("first_token", AtOnce, "one"),
        ("first_token", BehindTheHead, "one b+5000"),
        ("first_token", BehindARole, "one b+5000"),
        ("first_token", BehindWords, "one"),
        ("idle", AtOnce, "one"),
        ("idle", BehindTheHead, "one b+5000"),
        ("idle", BehindWords, "one b+5000"),
        ("total", AtOnce, "one 504"),
        ("total", BehindTheHead, "one 504"),
        ("total", BehindWords, "one 200"),
    ] {
        let limits = ["first_byte", "first_token", "idle", "total"]
            .map(|name| format!("{name}: {}", if name == limit { "5s" } else { "60s" }));
        let more = format!("failover: {{race: 0s}}\ntimeouts: {{{}}}", limits.join(", "));
        let mut hand = Hand::new(Ledger::default(), both("openai_chat", "a/m, b/m", &more), STREAM);
        match silence {
            AtOnce => {}
            BehindTheHead => hand.answers(200, "text/event-stream", String::new()),
            BehindARole => hand.says("", false),
            BehindWords => hand.says("the gates", false),
        }
        hand.wait(Span::secs(7));
        let status = hand.record.as_ref().and_then(|record| record.status);
        let status = status.map_or(String::new(), |status| format!(" {status}"));
        assert_eq!(hand.course() + &status, asked, "{limit} {silence:?}");
    }
}

#[test]
fn a_beginning_is_held_back_for_so_many_bytes_or_so_long() {
    for (streams, waits, told) in [
        ("recover", 0, true),
        ("off", 0, true),
        ("hold, hold_bytes: 1KiB, hold_time: 2s", 1_999, false),
        ("hold, hold_bytes: 1KiB, hold_time: 2s", 2_000, true),
        ("hold, hold_bytes: 100B, hold_time: 2s", 0, true),
    ] {
        let plan = both("openai_chat", "a/m, b/m", &format!("failover: {{streams: {streams}}}"));
        let mut hand = Hand::new(Ledger::default(), plan, STREAM);
        hand.says("the gates", false);
        hand.wait(Span::millis(waits));
        assert_eq!(!hand.told.is_empty(), told, "{streams} {waits}");
        hand.breaks();
        // What nobody has heard is had from the next, and so is what is to be recovered.
        let next = !told || streams == "recover";
        assert_eq!(hand.asked().contains(&"b"), next, "{streams} {waits}");
    }
}

/// Hears which of `left` is asked, of `a/m`, `b/m` and `a/other`; `with` says what came of it.
fn turn(
    ledger: &mut Ledger,
    plan: &Plan,
    left: &[usize],
    now: Instant,
    with: Option<Verdict>,
) -> (usize, usize) {
    let route = plan.resolve("m").unwrap();
    let asks = super::asks(plan, &route.aims, left);
    let Answer::Admitted(turn) = ledger.apply(&asks, Command::Admit(asks.caller), now) else {
        panic!("refused")
    };
    let verdict = with.unwrap_or(Verdict::Dropped);
    ledger.note(&asks, Note { aim: turn.aim, key: turn.key, verdict, tokens: None }, now);
    (turn.aim, turn.key)
}

#[test]
fn only_what_a_provider_or_its_key_is_to_blame_for_is_held_against_it() {
    let plan = both("openai_chat", "a/m, b/m, a/other", "");
    for kind in FaultKind::ALL {
        let (mut ledger, now) = (Ledger::default(), Instant::default());
        for _ in 0..=BREAKER_SHARE {
            turn(&mut ledger, &plan, &[0], now, Some(Verdict::Bad(*kind, None)));
        }
        let meaning = kind.meaning();
        let (model, other) = match (meaning.blame, meaning.key) {
            // The model's breaker has opened, or its keys rest.
            (Blame::Provider, _) => (1, 2),
            // The keys rest, whatever is asked with them.
            (Blame::Operator, true) => (1, 1),
            _ => (0, 2),
        };
        assert_eq!(turn(&mut ledger, &plan, &[0, 1], now, None).0, model, "{kind:?}");
        assert_eq!(turn(&mut ledger, &plan, &[2, 1], now, None).0, other, "{kind:?}");
    }
}

#[test]
fn a_key_that_is_limited_rests_alone_and_for_its_time() {
    let (plan, mut ledger, now) =
        (both("openai_chat", "a/m, b/m, a/other", ""), Ledger::default(), Instant::default());
    let limited = Verdict::Bad(FaultKind::UpstreamLimited, Some(Span::secs(20)));
    assert_eq!(turn(&mut ledger, &plan, &[0, 1], now, Some(limited)), (0, 0));
    let mut keys = |target: usize, now: Instant| {
        let mut keys = [0; 4].map(|_| turn(&mut ledger, &plan, &[target, 1], now, None));
        keys.sort_unstable();
        keys
    };
    assert_eq!(keys(0, now.after(Span::secs(19))), [(0, 1); 4], "the other key serves");
    assert_eq!(keys(2, now), [(2, 0), (2, 0), (2, 1), (2, 1)], "for the other model it serves, too");
    assert_eq!(keys(0, now.after(Span::secs(20))), [(0, 0), (0, 0), (0, 1), (0, 1)]);
}

#[test]
fn where_all_are_resting_the_one_that_rests_least_is_asked() {
    let (plan, now) = (both("openai_chat", "a/m, b/m, a/other", ""), Instant::default());
    for (first, then) in [(0, 1), (1, 0)] {
        let mut ledger = Ledger::default();
        let later = now.after(Span::millis(500));
        for (target, now) in [(first, now), (then, later)] {
            for _ in 0..=BREAKER_SHARE {
                turn(&mut ledger, &plan, &[target], now, Some(Verdict::Bad(FaultKind::UpstreamFailed, None)));
            }
        }
        assert_eq!(turn(&mut ledger, &plan, &[0, 1], later, None).0, first);
        assert_eq!(turn(&mut ledger, &plan, &[then], later, None).0, then, "and whoever is alone");
    }
}

#[test]
fn who_may_have_begun_is_not_asked_again_and_who_could_not_be_reached_is() {
    for (io, with, alone) in [
        (Io::Connect, "one b", "one two one two"),
        (Io::Tls, "one b", "one two one two"),
        (Io::ConnectTimeout, "one b", "one"),
        (Io::Broken, "one b", "one"),
        (Io::Credentials, "one two b", "one two"),
    ] {
        for (targets, expected) in [("a/m, b/m", with), ("a/m", alone)] {
            let mut hand = Hand::new(Ledger::default(), both("openai_chat", targets, ""), WHOLE);
            for _ in 0..4 {
                if hand.record.is_none() && !hand.asked().contains(&"b") {
                    hand.report(|attempt| Report::Failed(attempt, io));
                    hand.wait(Span::secs(1));
                }
            }
            assert_eq!(hand.asked().join(" "), expected, "{io:?}");
        }
    }
}
