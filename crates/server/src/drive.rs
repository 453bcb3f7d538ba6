//! The loop: takes an order from the exchange, obeys it, reports what came of it.
//!
//! There is no channel and no task of its own here. hyper polls for the next piece of the answer when it has
//! room for it; only then is anything pulled from the provider. So a slow client slows the provider down and
//! nothing piles up between them.

use crate::{
    credential::{self, Credential},
    demo::Demo,
    door::{
        body::Permit,
        io::ClientIo,
        worker::{Unheard, Worker},
    },
    tunnel::{Ended, Tunnel},
    upload::{self, End, Pieces, Upload},
    upstream::Answer,
};
use bytes::Bytes;
use engine::{
    cloud::Signer,
    exchange::{Attempt, Exchange, Io, Moved, Order, Reply, Report, Upstream, UpstreamHead},
    ledger::{Command, Note},
    record::Record,
    time::Instant,
};
use http::{Request, Response, StatusCode, Version, header};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    task::spawn_local,
    time::{Sleep, sleep_until},
};

/// One exchange being driven, until it is over or dropped. hyper drops what it does not need any more when the
/// client has gone: that is the report of it, and nothing else.
pub(crate) struct Drive(Option<Driving>);

struct Driving {
    exchange: Exchange,
    worker: Rc<Worker>,
    /// Who gets the answer; nobody does where a request is mirrored.
    client: Option<ClientIo>,
    live: Vec<(Attempt, Live)>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// The rest of the request's body.
    upload: Option<Upload>,
    /// Until when the exchange knows what has moved without it.
    told: Instant,
    over: bool,
    /// The exchange has been told that the client has gone.
    gone: bool,
    /// It goes on behind a client who has gone, as long as this is held.
    unheard: Option<Unheard>,
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
    Tunnel(Box<Tunnel>),
    Demo(Demo),
}

impl Drive {
    /// Drives `exchange` for `client`, if anybody waits for it.
    pub(crate) fn new(
        exchange: Exchange,
        worker: Rc<Worker>,
        client: Option<ClientIo>,
        (permit, upload): (Permit, Option<Upload>),
    ) -> Self {
        Drive(Some(Driving {
            exchange,
            worker,
            client,
            live: Vec::with_capacity(1),
            alarm: None,
            upload,
            told: Instant::default(),
            over: false,
            gone: false,
            unheard: None,
            _permit: permit,
        }))
    }

    /// The request's body has not come to its end.
    pub(crate) fn uploads(&self) -> bool {
        let upload = self.0.as_ref().and_then(|driving| driving.upload.as_ref());
        upload.is_some_and(|upload| !matches!(upload.end(), End::Whole))
    }

    /// Does all there is to do for an answer that nobody gets.
    pub(crate) async fn alone(mut self) {
        while !matches!(poll_fn(|cx| self.poll_step(cx)).await, Step::Over) {}
    }

    /// The same, until the gateway shuts down: then it is told to.
    async fn unheard(self, worker: Rc<Worker>) {
        let mut stages = worker.shared.stages.subscribe();
        let mut alone = pin!(self.alone());
        loop {
            tokio::select! {
                biased;
                () = &mut alone => return,
                changed = stages.changed() => if changed.is_err() { return },
            }
        }
    }

    /// The next thing for the caller.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.0.as_mut().map_or(Poll::Ready(Step::Over), |driving| driving.poll_step(cx))
    }
}

impl Driving {
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        while let Some(order) = self.exchange.order() {
            match order {
                Order::Ask(command) => self.ask(command),
                Order::Note(note) => self.note(note),
                Order::Leave(ticket) => self.leave(ticket),
                Order::Part(ticket) => self.part(ticket),
                Order::Send(attempt, upstream) => self.live.push((attempt, self.send(*upstream))),
                Order::Cancel(attempt) => self.live.retain(|(live, _)| *live != attempt),
                Order::Head(reply) => return Poll::Ready(Step::Head(reply)),
                Order::Body(bytes) => return Poll::Ready(Step::Body(bytes)),
                Order::Abort => return Poll::Ready(Step::Abort),
                // It goes on, but not on his connection.
                Order::Wait(_) if self.gone && self.unheard.is_none() => return Poll::Ready(Step::Abort),
                Order::Wait(until) => {
                    let report = ready!(self.poll_report(cx, until));
                    self.gone |= matches!(report, Report::ClientGone);
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
        let asks = self.exchange.asks();
        let answer = self.worker.with_ledger(asks.plan, |ledger| ledger.apply(&asks, command, now));
        self.exchange.report(Report::Answer(answer), now);
    }

    fn note(&self, note: Note) {
        let (asks, now) = (self.exchange.asks(), self.worker.now());
        self.worker.with_ledger(asks.plan, |ledger| ledger.note(&asks, note, now));
    }

    fn leave(&self, ticket: u64) {
        let now = self.worker.now();
        self.worker.with_ledger(self.exchange.asks().plan, |ledger| ledger.leave(ticket, now));
        self.worker.forget(ticket);
    }

    fn part(&self, ticket: u64) {
        let now = self.worker.now();
        self.worker.with_ledger(self.exchange.asks().plan, |ledger| ledger.part(ticket, now));
    }

    fn send(&self, upstream: Upstream) -> Live {
        if upstream.uri.host() == Some(engine::demo::HOST) {
            return Live::Demo(Demo::new(&upstream.body.concat()));
        }
        let rest = self.upload.clone().filter(|_| upstream.more);
        let mut request = Request::new(Pieces::new(upstream.body, rest));
        *request.method_mut() = upstream.method;
        *request.uri_mut() = upstream.uri;
        *request.headers_mut() = upstream.headers;
        match upstream.signer {
            Some(signer) => {
                Live::Asked(Box::pin(signed(self.worker.clone(), signer, request, upstream.socket)))
            }
            None => Live::Asked(Box::pin(self.worker.pool().send(request, upstream.socket))),
        }
    }

    /// What comes next of any attempt, or that it is time, or that the client has gone.
    fn poll_report(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<Report> {
        for place in 0..self.live.len() {
            if let Some((attempt, live)) = self.live.get_mut(place)
                && let Poll::Ready(report) = live.poll(*attempt, self.client.as_ref(), &self.worker, cx)
            {
                let report = if self.upload.is_some() { self.with_reason(report) } else { report };
                self.tell_moved();
                if matches!(report, Report::End(_) | Report::Failed(..)) {
                    self.live.swap_remove(place);
                }
                return Poll::Ready(report);
            }
        }
        if self.worker.is_shut() {
            return Poll::Ready(Report::ShuttingDown);
        }
        if self.exchange.is_queued() && self.worker.is_called(self.exchange.ticket(), cx.waker()) {
            return Poll::Ready(Report::Woke);
        }
        if self.poll_alarm(cx, until).is_ready() {
            return Poll::Ready(self.woken());
        }
        // Who is being read from is seen to leave by who reads.
        let reads = self.upload.as_ref().is_some_and(|upload| upload.is_open() && upload.waits());
        if reads || matches!(self.live.first(), Some((_, Live::Tunnel(_)))) {
            return Poll::Pending;
        }
        let Some(client) = &self.client else { return Poll::Pending };
        client.poll_gone(cx).map(|()| Report::ClientGone)
    }

    /// A provider's connection that broke because there was no more to send to it.
    fn with_reason(&self, report: Report) -> Report {
        match (report, self.upload.as_ref().map(Upload::end)) {
            (Report::Failed(attempt, Io::Broken), Some(End::Refused(fault))) => {
                Report::Refused(attempt, fault)
            }
            (Report::Failed(_, Io::Broken), Some(End::Gone)) => Report::ClientGone,
            (report, _) => report,
        }
    }

    /// It is the time at which the exchange wanted to be woken. It does not know yet what moved without it.
    fn woken(&mut self) -> Report {
        if let (Some((attempt, _)), Some(moved)) = (self.live.first(), self.moved()) {
            let attempt = *attempt;
            self.told = moved.at;
            return Report::Moved(attempt, moved);
        }
        match (self.live.first(), &self.upload) {
            (Some((attempt, _)), Some(upload)) if upload.is_open() && upload.waits() => {
                Report::Refused(*attempt, upload::too_slow())
            }
            _ => Report::Woke,
        }
    }

    /// What has moved since the exchange was told.
    fn moved(&self) -> Option<Moved> {
        let (up, down, at) = match (self.live.first(), &self.upload) {
            (Some((_, Live::Tunnel(tunnel))), _) => tunnel.carried(),
            (_, Some(upload)) => {
                let (up, at) = upload.taken();
                (up, 0, Some(at))
            }
            _ => return None,
        };
        at.filter(|at| *at > self.told).map(|at| Moved { at, up, down })
    }

    fn tell_moved(&mut self) {
        if let (Some((attempt, Live::Tunnel(_))), Some(moved)) = (self.live.first(), self.moved()) {
            let report = Report::Moved(*attempt, moved);
            self.told = moved.at;
            self.report(report);
        }
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
        if let Some(upload) = &self.upload {
            upload.stop();
        }
        self.worker.keep(record);
    }
}

/// Signs a request just before it is sent, which may mean to wait for credentials.
async fn signed(
    worker: Rc<Worker>,
    signer: Arc<Signer>,
    mut request: Request<Pieces>,
    socket: bool,
) -> Result<Response<Answer>, Io> {
    let credential = credential::sign(&worker, &signer, &mut request).await?;
    let mut response = worker.pool().send(request, socket).await?;
    if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        worker.shared.credentials.doubt(&signer);
    }
    response.extensions_mut().insert(credential);
    Ok(response)
}

impl Drop for Drive {
    fn drop(&mut self) {
        let Some(mut driving) = self.0.take().filter(|driving| !driving.over) else { return };
        // A defect of ours has struck and the stack is being unwound: another panic now would end the process.
        if std::thread::panicking() {
            if driving.unheard.is_none() {
                driving.worker.ledger().abandon();
            }
            return driving.leave(driving.exchange.ticket());
        }
        if !std::mem::replace(&mut driving.gone, true) {
            driving.client_gone();
        }
        if driving.over {
            return;
        }
        let worker = driving.worker.clone();
        match worker.unheard().filter(|_| driving.unheard.is_none()) {
            Some(place) => {
                (driving.client, driving.unheard) = (None, Some(place));
                spawn_local(Drive(Some(driving)).unheard(worker));
            }
            // Told once more, it ends.
            None => driving.client_gone(),
        }
    }
}

impl Driving {
    /// Tells the exchange that the client has gone, and does what it wants then.
    fn client_gone(&mut self) {
        self.tell_moved();
        self.report(Report::ClientGone);
        while let Some(order) = self.exchange.order() {
            match order {
                Order::Done(record) => self.done(&record),
                Order::Note(note) => self.note(note),
                Order::Leave(ticket) => self.leave(ticket),
                Order::Part(ticket) => self.part(ticket),
                Order::Cancel(attempt) => self.live.retain(|(live, _)| *live != attempt),
                Order::Wait(_) => return,
                _ => {}
            }
        }
    }
}

impl Live {
    fn poll(
        &mut self,
        attempt: Attempt,
        client: Option<&ClientIo>,
        worker: &Worker,
        cx: &mut Context<'_>,
    ) -> Poll<Report> {
        match self {
            Live::Asked(asked) => match ready!(asked.as_mut().poll(cx)) {
                Ok(mut response) => {
                    let upgrade = (response.status() == StatusCode::SWITCHING_PROTOCOLS)
                        .then(|| hyper::upgrade::on(&mut response));
                    let (parts, answer) = response.into_parts();
                    *self = match upgrade.zip(client) {
                        Some((upgrade, client)) => {
                            Live::Tunnel(Box::new(Tunnel::new(client.clone(), upgrade)))
                        }
                        None => Live::Answering(answer),
                    };
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
            Live::Tunnel(tunnel) => tunnel.poll(cx, || worker.now()).map(|ended| match ended {
                Ended::Closed => Report::End(attempt),
                Ended::ProviderGone => Report::Failed(attempt, Io::Broken),
                Ended::ClientGone => Report::ClientGone,
            }),
            Live::Demo(demo) => demo.poll(attempt, cx),
        }
    }
}
