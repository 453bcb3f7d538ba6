//! The provider's thread: accepting, answering, and breaking off.

use super::{
    Settings, Shared,
    plan::{Plan, Start, plan},
    script::{How, Script},
    seen::Entry,
    steps::Steps,
    wire::{Io, Wire},
};
use crate::limits;
use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::{body::Incoming, rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::TcpListener,
    rc::Rc,
    sync::Arc,
    time::Instant,
};
use tokio::{
    net::TcpStream,
    runtime::Runtime,
    sync::oneshot,
    task::{LocalSet, spawn_local},
};

/// What the thread is given.
pub(super) struct Task {
    pub(super) listener: TcpListener,
    pub(super) settings: Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) stopped: oneshot::Receiver<()>,
}

struct Desk {
    settings: Settings,
    shared: Arc<Shared>,
    served: Cell<u64>,
    answers: RefCell<HashMap<(String, Bytes), Plan>>,
    /// Per model: how many requests met with trouble that does not last, and when the first came.
    troubles: RefCell<HashMap<String, (u64, Instant)>>,
}

/// Runs tasks on this thread.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future + 'static> Executor<F> for Here
where
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

/// Serves until told to stop; then every connection ends at once.
pub(super) fn run(runtime: &Runtime, task: Task) {
    let Task { listener, settings, shared, stopped } = task;
    let desk = Rc::new(Desk {
        settings,
        shared,
        served: Cell::new(0),
        answers: RefCell::default(),
        troubles: RefCell::default(),
    });
    let accepting = accept(listener, desk);
    LocalSet::new().block_on(runtime, async {
        tokio::select! { _ = stopped => {}, _ = accepting => {} }
    });
}

async fn accept(listener: TcpListener, desk: Rc<Desk>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut held = Vec::new();
    for number in 0.. {
        // An accept fails when the client has left again or descriptors run out: neither is our end.
        let Ok((stream, _)) = listener.accept().await else { continue };
        if desk.settings.script.deaf {
            if held.len() < limits::DEAF_MAX {
                held.push(stream);
            }
            continue;
        }
        spawn_local(connection(stream, number, Rc::clone(&desk)));
    }
    Ok(())
}

async fn connection(stream: TcpStream, number: u64, desk: Rc<Desk>) {
    let _ = stream.set_nodelay(true);
    let wire = Wire::new(stream, number);
    let io = TokioIo::new(Io(Rc::clone(&wire)));
    let service = service_fn(move |request| answer(request, Rc::clone(&desk), Rc::clone(&wire)));
    let mut server = auto::Builder::new(Here);
    server.http1().timer(TokioTimer::new());
    // A connection ends with an error whenever a script breaks it or a client leaves.
    let _ = server.serve_connection(io, service).await;
}

async fn answer(request: Request<Incoming>, desk: Rc<Desk>, wire: Rc<Wire>) -> io::Result<Response<Steps>> {
    let (head, body) = request.into_parts();
    let entry = match desk.settings.record {
        true => desk.shared.log.open(&head, wire.number),
        false => Entry::unrecorded(),
    };
    let body = Limited::new(body, limits::BODY_MAX).collect().await.map_err(io::Error::other)?.to_bytes();
    entry.received(&body);
    let plan = desk.plan(&head, &body);
    if !plan.head_wait.is_zero() {
        tokio::time::sleep(plan.head_wait).await;
    }
    match plan.start {
        Start::Head => Ok(response(plan, entry, wire)),
        Start::Never => std::future::pending().await,
        Start::Garbage => {
            wire.write_raw(b"HTTP/1.1 two hundred\r\ncontent length; 5\r\n\r\nhello").await?;
            Err(broken_off(&entry))
        }
        Start::Break(how) => {
            if how == How::Rst {
                wire.reset();
            }
            Err(broken_off(&entry))
        }
    }
}

fn broken_off(entry: &Entry) -> io::Error {
    entry.end(super::End::Cut);
    io::Error::other("the script says so")
}

fn response(plan: Plan, entry: Entry, wire: Rc<Wire>) -> Response<Steps> {
    let mut response = Response::new(Steps::new(plan.steps, plan.length, entry, wire));
    *response.status_mut() = plan.status;
    *response.headers_mut() = plan.headers;
    response
}

impl Desk {
    fn plan(&self, head: &Parts, body: &Bytes) -> Plan {
        let seed = self.served.replace(self.served.get() + 1);
        if !self.settings.remember_answers {
            return plan(head, body, self.script(head), seed, |script, model| self.befalls(script, model));
        }
        let key = (head.uri.to_string(), body.clone());
        if let Some(plan) = self.answers.borrow().get(&key) {
            return plan.clone();
        }
        let plan = plan(head, body, self.script(head), seed, |script, model| self.befalls(script, model));
        let mut answers = self.answers.borrow_mut();
        if answers.len() < limits::ANSWERS_MAX {
            answers.insert(key, plan.clone());
        }
        plan
    }

    /// Trouble that does not last is not over for this model; this request counts.
    fn befalls(&self, script: &Script, model: &str) -> bool {
        let mut troubles = self.troubles.borrow_mut();
        if troubles.len() >= limits::TROUBLES_MAX {
            troubles.clear();
        }
        let (count, first) = troubles.entry(model.to_owned()).or_insert_with(|| (0, Instant::now()));
        *count += 1;
        script.times.is_none_or(|times| *count <= times)
            && script.lasts.is_none_or(|lasts| first.elapsed() < lasts)
    }

    fn script(&self, head: &Parts) -> Script {
        let queued = if head.method == Method::GET { None } else { self.shared.queue().pop_front() };
        queued.unwrap_or_else(|| self.settings.script.clone())
    }
}
