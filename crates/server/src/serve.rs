//! Serving, from the first word on the terminal to the last answer.

use crate::{
    cli::{Exit, print},
    door::{
        self,
        io::duration,
        worker::{Shared, Stage, Worker},
    },
    limits::{BACKLOG, CLIENT_PROBE, CLIENT_SILENT, HANDOVER_MAX, LAST_WORDS},
    load::{self, Args, Loaded},
    log::{Log, LogEnd},
    reload,
};
use engine::{
    limits::{CONNECTIONS_MAX, LAME_DUCK},
    plan::Plan,
    time::Span,
};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::{
    io,
    net::{SocketAddr, TcpStream},
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::LocalSet,
    time::{sleep, timeout},
};

/// Loads the plan that `args` ask for and serves it until a signal ends it.
pub(crate) fn run(args: &Args) -> Exit {
    let loaded = match load::load(args) {
        Ok(loaded) => loaded,
        Err(problems) => return print::problems(&problems),
    };
    print::notes(&loaded.notes);
    let address = loaded.plan.listen;
    match serve(args, loaded) {
        Ok(()) => Exit::Done,
        Err(error) => {
            print::words(&format!("cannot serve on {address}: {error}"));
            print::words("hint: another program may listen there; `--listen ADDR` takes another address");
            Exit::Failed
        }
    }
}

fn serve(args: &Args, loaded: Loaded) -> io::Result<()> {
    let Loaded { plan, file, .. } = loaded;
    let drain = plan.drain;
    let listener = listen(plan.listen)?;
    print::words(&greeting(&plan, listener.local_addr()?));
    let (log, end) = Log::start(plan.log);
    let shared = Shared::new(plan, log);
    let cores = Cores::start(&shared)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = front(&shared, listener, cores, drain) => ended,
            failed = reload::watch(&shared, args, file.as_deref()) => failed,
        }
    })?;
    drop::<LogEnd>(end);
    Ok(())
}

/// What a newcomer needs: where it listens, what is on, and a command to paste.
fn greeting(plan: &Plan, address: SocketAddr) -> String {
    let on: Vec<&str> = plan.providers.iter().map(|provider| provider.name.as_str()).collect();
    let key = if plan.access.keys.is_empty() { "" } else { " -H 'authorization: Bearer YOUR_KEY'" };
    let model = plan.aliases.keys().next().cloned().unwrap_or_else(|| match plan.providers.first() {
        Some(provider) if provider.built_in => "demo".to_owned(),
        Some(provider) => format!("{}/MODEL", provider.name),
        None => "demo".to_owned(),
    });
    format!(
        "sekisho listens on http://{address}\nproviders: {}\n\n\
         curl http://{address}/v1/chat/completions -H 'content-type: application/json'{key} \\\n  \
         -d '{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n",
        on.join(", "),
    )
}

/// One thread a core, each with a runtime and connections of its own.
struct Cores {
    cores: Vec<Core>,
    shared: Arc<Shared>,
}

struct Core {
    hand: mpsc::Sender<TcpStream>,
    open: Arc<AtomicUsize>,
}

impl Cores {
    fn start(shared: &Arc<Shared>) -> io::Result<Cores> {
        let count = thread::available_parallelism().map_or(1, NonZero::get);
        let cores =
            (0..count).map(|number| Core::start(number, shared.clone())).collect::<io::Result<_>>()?;
        Ok(Cores { cores, shared: shared.clone() })
    }

    /// Hands a connection to the core that has the fewest.
    fn hand(&self, stream: TcpStream) {
        let least = self.cores.iter().min_by_key(|core| core.open.load(Ordering::Relaxed));
        let Some(core) = least else { return };
        core.open.fetch_add(1, Ordering::Relaxed);
        if core.hand.try_send(stream).is_err() {
            core.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn open(&self) -> usize {
        self.cores.iter().map(|core| core.open.load(Ordering::Relaxed)).sum()
    }

    /// Ends when no connection is open any more, and nothing is read on behind one.
    async fn idle(&self) {
        loop {
            let ended = self.shared.ended.notified();
            if self.open() == 0 && self.shared.unheard() == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Core {
    fn start(number: usize, shared: Arc<Shared>) -> io::Result<Core> {
        let (hand, taken) = mpsc::channel(HANDOVER_MAX);
        let open = Arc::<AtomicUsize>::default();
        let counted = open.clone();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let work = move || LocalSet::new().block_on(&runtime, core(shared, taken, counted));
        thread::Builder::new().name(format!("core-{number}")).spawn(work)?;
        Ok(Core { hand, open })
    }
}

async fn core(shared: Arc<Shared>, mut taken: mpsc::Receiver<TcpStream>, open: Arc<AtomicUsize>) {
    let worker = Worker::new(shared);
    while let Some(stream) = taken.recv().await {
        let worker = worker.clone();
        let counted = Counted(open.clone(), worker.shared.clone());
        tokio::task::spawn_local(async move {
            if let Ok(stream) = tokio::net::TcpStream::from_std(stream) {
                door::connection(worker, stream).await;
            }
            drop(counted);
        });
    }
    // The process ends when every connection has; until then this core goes on serving them.
    std::future::pending::<()>().await;
}

/// An open connection, counted; it counts itself out even where its task panics.
struct Counted(Arc<AtomicUsize>, Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.ended.notify_one();
    }
}

/// Accepts until it is told to stop, then sees everything to its end.
async fn front(shared: &Arc<Shared>, listener: TcpListenerStd, cores: Cores, drain: Span) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let gentle = tokio::select! {
        () = accept(shared, &listener, &cores) => true,
        _ = terminate.recv() => true,
        _ = interrupt.recv() => false,
    };
    if gentle {
        // Load balancers need a moment to notice that we are not ready any more. A person at a terminal does not.
        shared.enter(Stage::LameDuck);
        shared.log.say("info", "SIGTERM: not ready any more, draining soon");
        tokio::select! {
            () = accept(shared, &listener, &cores) => {}
            () = sleep(duration(LAME_DUCK)) => {}
            () = again(&mut terminate, &mut interrupt) => return Ok(()),
        }
    }
    drop(listener);
    shared.enter(Stage::Draining);
    let open = cores.open();
    shared.log.say("info", &format!("draining: no new connections, {open} still open"));
    tokio::select! {
        () = cores.idle() => return Ok(()),
        () = sleep(duration(drain)) => {}
        () = again(&mut terminate, &mut interrupt) => return Ok(()),
    }
    shared.log.say("warn", &format!("the drain is over: ending {} connections", cores.open()));
    shared.enter(Stage::Shut);
    let _ = timeout(duration(LAST_WORDS), cores.idle()).await;
    Ok(())
}

type TcpListenerStd = std::net::TcpListener;

/// A second signal, of either kind.
async fn again(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Accepts connections, for ever.
async fn accept(shared: &Shared, listener: &TcpListener, cores: &Cores) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if cores.open() < CONNECTIONS_MAX => {
                if let Ok(stream) = stream.into_std() {
                    cores.hand(stream);
                }
            }
            Ok(_) => shared.log.say("warn", "a connection was refused: as many are open as may be"),
            Err(error) => {
                // Out of file descriptors, most likely: accepting again at once would only burn the core.
                shared.log.say("warn", &format!("a connection could not be accepted: {error}"));
                sleep(duration(Span::millis(100))).await;
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListenerStd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Connections have what their listener has.
    let (first, again) = CLIENT_PROBE;
    let probes = TcpKeepalive::new().with_time(duration(first)).with_interval(duration(again));
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(duration(CLIENT_SILENT)))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}
