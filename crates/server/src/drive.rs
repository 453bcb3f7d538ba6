//! The loop: takes an order from the exchange, obeys it, reports what came of it.
//!
//! There is no channel and no task of its own here. hyper polls for the next piece of the answer when it has
//! room for it; only then is anything pulled from the provider. So a slow client slows the provider down and
//! nothing piles up between them.

use crate::{
    credential::{self, Credential},
    demo::Demo,
    door::{body::Permit, io::ClientIo, worker::Worker},
    upstream::{Answer, Pieces},
};
use bytes::Bytes;
use engine::{
    cloud::Signer,
    exchange::{Attempt, Exchange, Io, Order, Reply, Report, Upstream, UpstreamHead},
    ledger::{Command, Note},
    record::Record,
    time::Instant,
};
use http::{Request, Response, StatusCode, Version, header};
use std::{
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::time::{Sleep, sleep_until};

/// One exchange being driven.
pub(crate) struct Drive {
    exchange: Exchange,
    worker: Rc<Worker>,
    client: ClientIo,
    live: Vec<(Attempt, Live)>,
    alarm: Option<Pin<Box<Sleep>>>,
    over: bool,
    /// The memory of the request's body, given back when all is over.
    _permit: Permit,
}

/// What the caller gets next.
pub(crate) enum Step {
    Head(Box<Reply>),
    Body(Bytes),
    /// The answer cannot be ended honestly in any other way than by breaking the connection.
    Abort,
    /// The answer is whole.
    Over,
}

/// An attempt that is under way.
enum Live {
    Asked(Pin<Box<dyn Future<Output = Result<Response<Answer>, Io>>>>),
    Answering(Answer),
    Demo(Demo),
}

impl Drive {
    /// Drives `exchange` for `client`.
    pub(crate) fn new(exchange: Exchange, worker: Rc<Worker>, client: ClientIo, permit: Permit) -> Self {
        Drive { exchange, worker, client, live: Vec::new(), alarm: None, over: false, _permit: permit }
    }

    /// The next thing for the caller.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        while let Some(order) = self.exchange.order() {
            match order {
                Order::Ask(command) => self.ask(command),
                Order::Note(note) => self.note(note),
                Order::Send(attempt, upstream) => self.live.push((attempt, self.send(*upstream))),
                Order::Cancel(attempt) => self.live.retain(|(live, _)| *live != attempt),
                Order::Head(reply) => return Poll::Ready(Step::Head(reply)),
                Order::Body(bytes) => return Poll::Ready(Step::Body(bytes)),
                Order::Abort => return Poll::Ready(Step::Abort),
                Order::Wait(until) => {
                    let report = ready!(self.poll_report(cx, until));
                    self.report(report);
                }
                Order::Done(record) => self.done(&record),
            }
        }
        Poll::Ready(Step::Over)
    }

    fn report(&mut self, report: Report) {
        self.exchange.report(report, self.worker.now());
    }

    fn ask(&mut self, command: Command) {
        let now = self.worker.now();
        let answer = self.worker.ledger().apply(&self.exchange.asks(), command, now);
        self.exchange.report(Report::Answer(answer), now);
    }

    fn note(&self, note: Note) {
        self.worker.ledger().note(&self.exchange.asks(), note, self.worker.now());
    }

    fn send(&self, upstream: Upstream) -> Live {
        if upstream.uri.host() == Some(engine::demo::HOST) {
            return Live::Demo(Demo::new(&upstream.body.concat()));
        }
        let mut request = Request::new(upstream.body.into());
        *request.method_mut() = upstream.method;
        *request.uri_mut() = upstream.uri;
        *request.headers_mut() = upstream.headers;
        match upstream.signer {
            Some(signer) => Live::Asked(Box::pin(signed(self.worker.clone(), signer, request))),
            None => Live::Asked(Box::pin(self.worker.pool().send(request))),
        }
    }

    /// What comes next of any attempt, or that it is time, or that the client has gone.
    fn poll_report(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<Report> {
        for place in 0..self.live.len() {
            if let Some((attempt, live)) = self.live.get_mut(place)
                && let Poll::Ready(report) = live.poll(*attempt, cx)
            {
                if matches!(report, Report::End(_) | Report::Failed(..)) {
                    self.live.swap_remove(place);
                }
                return Poll::Ready(report);
            }
        }
        if self.worker.is_shut() {
            return Poll::Ready(Report::ShuttingDown);
        }
        if self.poll_alarm(cx, until).is_ready() {
            return Poll::Ready(Report::Woke);
        }
        self.client.poll_gone(cx).map(|()| Report::ClientGone)
    }

    /// One timer serves the whole exchange: a later deadline lets it ring once for nothing, which is cheaper
    /// than to set it anew with each piece.
    fn poll_alarm(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        loop {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(self.worker.tokio(until))));
            if alarm.deadline() > self.worker.tokio(until) {
                alarm.as_mut().reset(self.worker.tokio(until));
            }
            ready!(alarm.as_mut().poll(cx));
            if self.worker.now() >= until {
                return Poll::Ready(());
            }
            self.alarm = None;
        }
    }

    fn done(&mut self, record: &Record) {
        self.over = true;
        self.live.clear();
        self.worker.keep(record);
    }
}

/// Signs a request just before it is sent, which may mean to wait for credentials.
async fn signed(
    worker: Rc<Worker>,
    signer: Arc<Signer>,
    mut request: Request<Pieces>,
) -> Result<Response<Answer>, Io> {
    let credential = credential::sign(&worker, &signer, &mut request).await?;
    let mut response = worker.pool().send(request).await?;
    if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        worker.shared.credentials.doubt(&signer);
    }
    response.extensions_mut().insert(credential);
    Ok(response)
}

impl Drop for Drive {
    /// hyper drops what it does not need any more when the client has gone: this is the report of it, and
    /// nothing else.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        // A defect of ours has struck and the stack is being unwound: another panic now would end the process.
        if std::thread::panicking() {
            return self.worker.ledger().abandon();
        }
        self.report(Report::ClientGone);
        while let Some(order) = self.exchange.order() {
            match order {
                Order::Done(record) => self.done(&record),
                Order::Note(note) => self.note(note),
                _ => {}
            }
        }
    }
}

impl Live {
    fn poll(&mut self, attempt: Attempt, cx: &mut Context<'_>) -> Poll<Report> {
        match self {
            Live::Asked(asked) => match ready!(asked.as_mut().poll(cx)) {
                Ok(response) => {
                    let (parts, answer) = response.into_parts();
                    *self = Live::Answering(answer);
                    let framed = parts.version == Version::HTTP_2
                        || parts.headers.contains_key(header::CONTENT_LENGTH)
                        || parts.headers.contains_key(header::TRANSFER_ENCODING);
                    let signed_with = parts.extensions.get::<Arc<Credential>>();
                    let signed_with = signed_with.map_or_else(Vec::new, |credential| credential.secrets());
                    let (status, headers) = (parts.status, parts.headers);
                    let head = UpstreamHead { status, headers, framed, signed_with };
                    Poll::Ready(Report::Head(attempt, head))
                }
                Err(io) => Poll::Ready(Report::Failed(attempt, io)),
            },
            Live::Answering(answer) => answer.poll_piece(cx).map(|piece| match piece {
                Some(Ok(bytes)) => Report::Body(attempt, bytes),
                Some(Err(io)) => Report::Failed(attempt, io),
                None => Report::End(attempt),
            }),
            Live::Demo(demo) => demo.poll(attempt, cx),
        }
    }
}
