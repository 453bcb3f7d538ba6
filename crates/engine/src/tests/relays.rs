//! Where goes what is relayed and not understood.

use super::plan;
use crate::{
    access::Caller,
    exchange::{Attempt, Exchange, Inbound, Io, Moved, Order, Report, Upstream, UpstreamHead},
    form::Form,
    ledger::{Command, Ledger},
    path::KeyChoice,
    plan::Plan,
    record::{Outcome, Record},
    surface::{self, Found},
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::FaultKind;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use std::{rc::Rc, sync::Arc};

const TWO: &str = r#"
providers:
  first: {base_url: "http://first.test/v1", keys: k}
  second: {base_url: "http://second.test/v1", keys: k}
models: {both: [first/a b, second/c]}
"#;

const FORM: &str = "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nboth\r\n--x";

const SOCKET: &[(&str, &str)] =
    &[("connection", "Upgrade"), ("upgrade", "WebSocket"), ("sec-websocket-key", "k")];

/// An exchange that has been admitted.
fn ask(plan: Plan, method: Method, path: &str, headers: &[(&str, &str)], body: &str, more: bool) -> Exchange {
    let header = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).expect("a name"), HeaderValue::try_from(*value).expect("a value"))
    };
    let headers: HeaderMap = headers.iter().map(header).collect();
    let field = Form::of(&headers).expect("a good header").and_then(|mut form| {
        form.feed(body.as_bytes()).expect("a good form");
        form.model().cloned()
    });
    let inbound = Inbound {
        id: "req-1".to_owned(),
        caller: Caller(None),
        method,
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
        more,
        field,
        named: None,
        key: KeyChoice::Next,
        roll: 0,
        arrived: Instant::default(),
    };
    let Found { route, .. } = surface::find(path.split('?').next().expect("a path")).expect("a route");
    Exchange::relay(Rc::new(Arc::new(plan)), route.action, path, inbound)
}

/// What a ledger says to whom it does not know.
fn answer(exchange: &mut Exchange, command: Command) {
    let answer = Ledger::default().apply(&exchange.asks(), command, Instant::default());
    exchange.report(Report::Answer(answer), Instant::default());
}

/// The next request to a provider, or how it ended without one.
fn sent(exchange: &mut Exchange) -> Result<Box<Upstream>, String> {
    let mut said = String::new();
    while let Some(order) = exchange.order() {
        match order {
            Order::Ask(command) => answer(exchange, command),
            Order::Send(_, upstream) => return Ok(upstream),
            Order::Body(body) => said += &String::from_utf8_lossy(&body),
            Order::Done(_) => return Err(said),
            _ => {}
        }
    }
    panic!("nothing came of it")
}

fn done(exchange: &mut Exchange) -> Record {
    let mut orders = std::iter::from_fn(|| exchange.order());
    let record = orders.find_map(|order| if let Order::Done(record) = order { Some(record) } else { None });
    *record.expect("it has ended")
}

#[test]
fn a_request_goes_to_the_provider_that_is_meant() {
    let openai = "\n  openai: {keys: k}\n";
    let several = TWO
        .replace("models:", "  claude: {dialect: anthropic, base_url: \"http://c.test\", keys: k}\nmodels:");
    let with_openai = TWO.replace("\nmodels:", &(openai.to_owned() + "models:"));
    let default = format!("default_provider: second\n{with_openai}");
    let one = "providers: {claude: {dialect: anthropic, base_url: \"http://c.test\", keys: k}, only: {base_url: \"http://only.test\", keys: k}}";
    #[rustfmt::skip]
    let table = [
        (TWO, "GET", "/v1/files?limit=1", "", "which of `first`, `second` is meant cannot be told"),
        (&several, "GET", "/v1/files", "", "which of `first`, `second` is meant cannot be told"),
        (&several, "GET", "/v1/files", "claude", "http://c.test/v1/files"),
        (&with_openai, "GET", "/v1/files/f-1", "", "https://api.openai.com/v1/files/f-1"),
        (&with_openai, "DELETE", "/files/f-1", "second", "http://second.test/v1/files/f-1"),
        (&default, "POST", "/batches", "", "http://second.test/v1/batches"),
        (one, "POST", "/v1/batches", "", "http://only.test/v1/batches"),
        (one, "POST", "/v1/rerank", "", "http://only.test/v1/rerank"),
        (one, "POST", "/v1/responses/compact", "", "`model` is missing"),
        (one, "GET", "/v1/responses/resp_1", "", "http://only.test/v1/responses/resp_1"),
        (one, "POST", "/v1/uploads/u-1/parts", "", "http://only.test/v1/uploads/u-1/parts"),
        (one, "POST", "/v1/realtime/client_secrets", "", "http://only.test/v1/realtime/client_secrets"),
        ("", "GET", "/v1/files", "", "no provider that is on takes this"),
        ("", "GET", "/v1/files", "demo", "no provider `demo` is on here"),
        (one, "GET", "/v1/files", "onli", "did you mean `only`?"),
    ];
    for (text, method, path, named, expected) in table {
        let headers = [("x-sekisho-provider", named)];
        let headers = if named.is_empty() { &headers[..0] } else { &headers };
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut exchange = ask(plan(&[], text), method, path, headers, "{}", false);
        match sent(&mut exchange) {
            Ok(upstream) => assert_eq!(upstream.uri.to_string(), expected, "{path} {named}"),
            Err(said) => assert!(said.contains(expected), "{path} {named}: {said}"),
        }
    }
}

#[test]
fn a_model_is_replaced_where_it_stands() {
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let mut exchange = ask(plan(&[], TWO), Method::POST, "/v1/images/edits", &form, FORM, true);
    let upstream = sent(&mut exchange).expect("it is sent");
    assert_eq!(String::from_utf8(upstream.body.concat()).expect("text"), FORM.replace("both", "a b"));
    assert!(upstream.more && !upstream.socket);
    let path = "/v1/realtime?a=%2Fb&model=both&c";
    let mut exchange = ask(plan(&[], TWO), Method::GET, path, SOCKET, "", false);
    let upstream = sent(&mut exchange).expect("it is sent");
    assert_eq!(upstream.uri, "http://first.test/v1/realtime?a=%2Fb&model=a%20b&c");
    assert!(upstream.socket && upstream.body.is_empty());
}

#[test]
fn what_can_be_sent_once_goes_on_only_from_who_could_not_be_reached() {
    let form = [("content-type", "multipart/form-data; boundary=x")];
    for (more, io, goes_on) in [
        (true, Io::Connect, true),
        (true, Io::Tls, true),
        (true, Io::Broken, false),
        (false, Io::Broken, true),
    ] {
        let mut exchange = ask(plan(&[], TWO), Method::POST, "/v1/images/edits", &form, FORM, more);
        sent(&mut exchange).expect("it is sent");
        exchange.report(Report::Failed(Attempt(0), io), Instant::default());
        assert_eq!(sent(&mut exchange).is_ok(), goes_on, "{more} {io:?}");
    }
}

#[test]
fn what_moves_is_not_given_up() {
    let at = |secs: u64| Instant::default().after(Span::secs(secs));
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let mut exchange = ask(plan(&[], TWO), Method::POST, "/v1/images/edits", &form, FORM, true);
    sent(&mut exchange).expect("it is sent");
    exchange.report(Report::Moved(Attempt(0), Moved { at: at(100), up: 5, down: 0 }), at(119));
    exchange.report(Report::Woke, at(200));
    assert!(matches!(exchange.order(), Some(Order::Wait(until)) if until == at(220)));
    exchange.report(Report::Woke, at(220));
    assert_eq!(done(&mut exchange).outcome, Outcome::Fault(FaultKind::UpstreamTimeout));
}

#[test]
fn a_websocket_is_one_exchange_from_its_handshake_to_its_end() {
    let at = |secs: u64| Instant::default().after(Span::secs(secs));
    let head = |names: &[(&'static str, &'static str)]| {
        let header = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers = names.iter().map(header).collect();
        UpstreamHead {
            status: StatusCode::SWITCHING_PROTOCOLS,
            headers,
            framed: false,
            signed_with: Vec::new(),
        }
    };
    let begin = || {
        let mut exchange = ask(plan(&[], TWO), Method::GET, "/v1/realtime?model=second/m", SOCKET, "", false);
        sent(&mut exchange).expect("it is sent");
        exchange
    };
    let mut exchange = begin();
    exchange.report(
        Report::Head(Attempt(0), head(&[("connection", "upgrade"), ("upgrade", "websocket")])),
        at(1),
    );
    assert!(matches!(exchange.order(), Some(Order::Head(reply)) if reply.status == 101));
    // Longer than an exchange may take, as long as it moves.
    exchange.report(Report::Moved(Attempt(0), Moved { at: at(4_000), up: 7, down: 9 }), at(4_000));
    exchange.report(Report::Woke, at(4_001));
    exchange.report(Report::End(Attempt(0)), at(4_002));
    let record = done(&mut exchange);
    assert_eq!((record.outcome, record.status, record.carried), (Outcome::Whole, Some(101), Some((7, 9))));
    assert_eq!(record.took, Span::secs(4_002));

    let mut exchange = begin();
    exchange.report(Report::Head(Attempt(0), head(&[("connection", "upgrade"), ("upgrade", "h2c")])), at(1));
    assert_eq!(done(&mut exchange).outcome, Outcome::Fault(FaultKind::UpstreamInvalid));
}
