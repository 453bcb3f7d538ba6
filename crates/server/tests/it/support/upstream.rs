//! A provider that writes the bytes it is told to, HTTP or not.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::client::find;

/// It listens until it is dropped.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Upstream {
    /// `answer` gets each connection once it has brought a whole request, and closes it when it returns.
    pub(crate) fn start(answer: impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static) -> Upstream {
        Upstream::reading(move |socket| {
            if let Some(request) = read(socket) {
                answer(socket, &request);
            }
        })
    }

    /// `serve` gets each connection as it comes, and closes it when it returns.
    pub(crate) fn reading(serve: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let addr = listener.local_addr().expect("it listens");
        let stop = Arc::<AtomicBool>::default();
        let (stopped, serve) = (stop.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(mut stream), serve) = (stream, serve.clone()) else { continue };
                thread::spawn(move || {
                    let _ = stream.set_nodelay(true);
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
                    serve(&mut stream);
                });
            }
        });
        Upstream { addr, stop }
    }

    /// Answers every request with these bytes, then closes.
    pub(crate) fn saying(bytes: impl Into<Vec<u8>>) -> Upstream {
        let bytes = bytes.into();
        Upstream::start(move |stream, _| drop(stream.write_all(&bytes)))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

/// The head of a request, and nothing of what is behind it.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// One request with a length.
fn read(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut request, mut piece) = (Vec::new(), [0; 16 << 10]);
    loop {
        if let Some(end) = find(&request, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|length| length.trim().parse().ok()).unwrap_or(0);
            if request.len() >= end + 4 + length {
                return Some(request);
            }
        }
        match stream.read(&mut piece) {
            Ok(read @ 1..) => request.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
}
