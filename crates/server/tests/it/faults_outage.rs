//! Providers that are down for a while, and what retries may cost.

use crate::support::{
    all_at_once, chat,
    client::{Client, post},
    pair::{Api, Cell, Pair, Run, SCALED, is_sixty},
    streamed,
};
use std::{
    thread,
    time::{Duration, Instant},
};
use testkit::provider::{Provider, Seen, Settings};

/// How long the provider is down.
const DOWN: Duration = Duration::from_secs(6);
/// One request in so much time.
const GAP: Duration = Duration::from_millis(100);
/// A breaker that opened three times in a row stays open for so long, and then wants two probes, a second apart.
const BACK: Duration = Duration::from_millis(4_000 + 2_000);

/// Asks now and then until the first provider serves again, or for too long.
fn through_an_outage(pair: &Pair, cell: &Cell, began: Instant) -> Duration {
    let (mut asked, mut probes, mut back) = (0, 0, 0);
    while back < 3 {
        let run = pair.ask(cell, "");
        asked += 1;
        assert_eq!(run.answer.status, 200, "{cell:?}: {}", run.answer.text());
        assert!(is_sixty(&run.heard.text) && run.heard.ended, "{cell:?}: {}", run.answer.text());
        if run.second.is_empty() {
            back += 1;
        } else {
            probes += run.first.len();
            back = 0;
        }
        assert!(began.elapsed() < DOWN + BACK + Duration::from_secs(10), "{cell:?}: it is not found again");
        thread::sleep(GAP);
    }
    let found = began.elapsed().saturating_sub(DOWN);
    println!("{cell:?}: {asked} requests, all served; {probes} to the dead one; back {found:?} after it was");
    // Five to open the breaker, and then one a time.
    assert!(probes <= 5 + 5, "{cell:?}: {probes} requests went to a dead provider");
    found
}

#[test]
fn one_that_is_overloaded_for_a_while_costs_nobody_an_answer() {
    let pair = Pair::start(SCALED, &format!("status=503 for-ms={}", DOWN.as_millis()), "");
    let cells = Cell::all(&[true]);
    all_at_once(&cells, cells.len(), |cell| {
        through_an_outage(&pair, cell, Instant::now());
    });
}

#[test]
fn one_that_is_gone_for_a_while_costs_nobody_an_answer() {
    let mut pair = Pair::start(SCALED, "", "");
    let (cell, addr) = (Cell::all(&[true]).remove(0), pair.first.addr());
    assert_eq!(pair.ask(&cell, "").first.len(), 1);
    // A listener of its own holds the place of the one that is gone, so that no other test takes its port.
    pair.first = Provider::start("").expect("it starts");
    let began = Instant::now();
    while began.elapsed() < DOWN {
        let run = pair.ask(&cell, "");
        assert!(run.answer.status == 200 && is_sixty(&run.heard.text), "{}", run.answer.text());
        assert_eq!(run.second.len(), 1);
        thread::sleep(GAP);
    }
    let settings = Settings { listen: addr, script: "words=60".into(), ..Settings::default() };
    pair.first = Provider::start_with(settings).expect("its port is still free");
    through_an_outage(&pair, &cell, began);
}

/// Asks `count` times, several at once, whatever comes of it.
fn flood(pair: &Pair, model: &str, count: usize) {
    let rounds = vec![count / 16; 16];
    all_at_once(&rounds, 16, |round| {
        let mut client = pair.gateway.connect();
        for _ in 0..*round {
            client.ask(&post("/v1/chat/completions", chat(model, "hi")));
        }
    });
}

#[test]
fn retries_are_a_small_part_of_the_traffic() {
    let asked = |pair: &Pair, model: &str, count: usize| {
        let before = pair.first.log().len();
        flood(pair, model, count);
        pair.first.log().len() - before
    };
    // It fails always, and there is no other.
    let pair = Pair::start(SCALED, "status=500", "");
    let offered = 3_200;
    let seen = asked(&pair, "first-chat/m", offered);
    println!("failing always, alone: {offered} offered, {seen} seen");
    assert!((offered..=offered * 11 / 10).contains(&seen), "{seen}");
    // There is another: the failing one is left alone.
    let seen = asked(&pair, "either-m", offered);
    println!("failing always, with a fallback: {offered} offered, {seen} seen");
    assert!(seen <= offered / 10, "{seen}");
    // It fails each third time, so its breaker never opens, and each failure would be worth a retry.
    let pair = Pair::start(SCALED, "", "");
    for place in 0..offered * 2 {
        pair.first.push(if place % 3 == 0 { "status=500" } else { "" });
    }
    let seen = asked(&pair, "first-chat/m", offered);
    println!("failing each third time: {offered} offered, {seen} seen");
    // What a provider may be retried at the beginning comes on top.
    assert!(seen > offered && seen <= offered * 11 / 10 + 10, "{seen}");
}

#[test]
fn what_has_been_written_is_never_sent_to_the_same_one_again() {
    let pair = Pair::start(SCALED, "", "");
    let rounds: Vec<usize> = (0..8).collect();
    let scripts = ["cut=head how=rst", "", "cut=head how=fin", "", "garbage=head", ""];
    all_at_once(&rounds, rounds.len(), |round| {
        for turn in 0..24 {
            let script = scripts[turn % scripts.len()];
            let model = format!("either-{round}-{turn}");
            let text = format!("[[kit {script}]]");
            // The same text goes to the fallback, which then fails as well: each may see it once.
            let run = pair.ask_model(Api::Chat, &model, &text, turn % 2 == 0);
            assert_eq!(run.first.len(), 1, "{script}");
            assert_eq!(run.second.len(), usize::from(!script.is_empty()), "{script}");
            assert_eq!(run.answer.status, if script.is_empty() { 200 } else { 502 }, "{script}");
        }
    });
}

#[test]
fn who_loses_a_race_is_left_at_once_and_named_in_the_log() {
    let settings = SCALED.replace("race: 1s", "race: 200ms");
    let pair = Pair::start(&settings, "token-ms=8000", "");
    let rounds: Vec<usize> = (0..10).collect();
    let times = std::sync::Mutex::new(Vec::new());
    all_at_once(&rounds, rounds.len(), |round| {
        for turn in 0..10 {
            // Each a model of its own, whose breaker has not opened.
            let caller = if turn % 2 == 0 { Api::Chat } else { Api::Messages };
            let run = pair.ask_model(caller, &format!("either-{round}-{turn}"), "", true);
            assert!(is_sixty(&run.heard.text), "{}", run.answer.text());
            times.lock().expect("no panic").extend(left_after(&run));
        }
    });
    let mut times = times.into_inner().expect("no panic");
    times.sort_unstable();
    let [half, p99] = [50, 99].map(|percent| crate::support::percentile(&times, percent));
    assert!(times.len() >= 50, "{}", times.len());
    println!("{} losers were left within {half:?} (median), {p99:?} (p99)", times.len());
    // On a machine with nothing else to do the second is below 100 ms, too.
    assert!(half <= Duration::from_millis(100) && p99 <= Duration::from_secs(1), "{times:?}");
    let log = || pair.gateway.err();
    crate::support::eventually("it is logged", Duration::from_secs(5), || log().contains("either-9-9"));
    let line = log().lines().find(|line| line.contains("\"model\":\"either-0-0\"")).map(str::to_owned);
    let line: serde_json::Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
    assert_eq!((line["target"].as_str(), line["attempts"].as_u64()), (Some("second-chat/0-0"), Some(2)));
    let (loser, winner) = (&line["trials"][0], &line["trials"][1]);
    assert_eq!((loser["target"].as_str(), &loser["outrun"]), (Some("first-chat/0-0"), &true.into()));
    assert!(loser["ms"].as_u64().is_some_and(|ms| ms >= 200), "{line}");
    assert_eq!((&winner["outrun"], &winner["tokens_out"]), (&serde_json::Value::Null, &60.into()), "{line}");
}

/// How long after the winner's first token reached the caller the loser's provider still went on; `None` where that
/// had not read the request yet.
fn left_after(run: &Run) -> Option<Duration> {
    let loser: &Seen = run.first.first()?;
    loser.end.map(|(_, at)| at.saturating_duration_since(run.head))
}

#[test]
fn what_a_loser_could_not_carry_is_not_told() {
    let settings = SCALED.replace("race: 1s", "race: 200ms");
    let pair = Pair::start(&settings, "token-ms=600", "token-ms=8000");
    let cell = Cell { caller: Api::Chat, first: Api::Chat, second: Api::Messages, stream: true };
    let mut body = streamed(chat(&cell.alias(), "hi"));
    body["logprobs"] = true.into();
    let answer = pair.gateway.ask(&post("/v1/chat/completions", &body));
    assert_eq!(answer.header("x-sekisho-target"), cell.first_target());
    assert_eq!(answer.header("x-sekisho-attempts"), "2");
    assert_eq!(answer.header("x-sekisho-loss"), "", "the other target could not carry `logprobs`");
}

#[test]
fn who_loses_every_race_is_not_waited_for_any_more() {
    let settings = SCALED.replace("race: 1s", "race: 200ms");
    let pair = Pair::start(&settings, "token-ms=8000", "");
    let asked: Vec<usize> = (0..8)
        .map(|_| {
            let run = pair.ask_model(Api::Chat, "either-slow", "", true);
            assert!(is_sixty(&run.heard.text), "{}", run.answer.text());
            run.first.len()
        })
        .collect();
    // Its breaker opens for a second; a probe may fall behind that.
    println!("of eight callers these waited for the slow one: {asked:?}");
    assert_eq!(asked[..5], [1; 5]);
    assert!(asked[5..].iter().sum::<usize>() <= 1, "{asked:?}");
}

#[test]
fn a_share_of_streams_is_hedged() {
    let settings = SCALED.replace("race: 1s", "race: 0s, hedge: {after: 100ms, percent: 25}");
    let pair = Pair::start(&settings, "token-ms=1500", "");
    let hedged: Vec<bool> = (0..8)
        .map(|round| {
            let run = pair.ask_model(Api::Chat, &format!("either-{round}"), "", true);
            assert!(is_sixty(&run.heard.text), "{}", run.answer.text());
            run.second.len() == 1
        })
        .collect();
    assert_eq!(hedged, [false, false, false, true, false, false, false, true]);
    let logged = || pair.gateway.err().matches("\"as\":\"hedge\"").count() == 2;
    crate::support::eventually("it is logged", Duration::from_secs(5), logged);
}

#[test]
fn a_caller_who_leaves_during_a_race_leaves_both() {
    let pair = Pair::start(SCALED, "token-ms=8000", "token-ms=8000");
    let mut client: Client = pair.gateway.connect();
    let cell = Cell::all(&[true]).remove(0);
    client.send_request(&cell.caller.request(&cell.alias(), "hi", true));
    let asked = |provider: &Provider| provider.wait_for(|log| log.len() == 1, Duration::from_secs(10));
    assert!(asked(&pair.first) && asked(&pair.second));
    client.leave();
    for provider in [&pair.first, &pair.second] {
        assert!(provider.wait_for(|log| log[0].end.is_some(), Duration::from_secs(3)));
    }
}
