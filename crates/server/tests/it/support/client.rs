//! A client that writes the bytes it is given and keeps those that it gets.

use serde_json::Value;
use socket2::SockRef;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// How long anything may take that should take no time at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    host: String,
    /// What was read and belongs to no answer yet.
    pub(crate) buffer: Vec<u8>,
    /// How the connection stands.
    pub(crate) last: Fill,
    patience: Duration,
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    Some,
    Closed,
    Reset,
    Nothing,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// The body came to the end that HTTP says it has.
    pub(crate) whole: bool,
}

/// A request to be written.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn get(path: &str) -> Request {
    request("GET", path)
}

pub(crate) fn request(method: &str, path: &str) -> Request {
    Request { method: method.to_owned(), path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
}

pub(crate) fn post(path: &str, body: impl ToString) -> Request {
    Request { body: body.to_string().into_bytes(), ..request("POST", path) }
        .header("content-type", "application/json")
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Request { body: body.into(), ..self }
    }

    /// The head alone, up to the empty line.
    pub(crate) fn head(&self, host: &str) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let named = |name: &str| self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        if !named("host") {
            head += &format!("host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !named("content-length") && !named("transfer-encoding") && self.method != "GET" {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        head + "\r\n"
    }

    pub(crate) fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = self.head(host).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Client {
        let stream = TcpStream::connect(addr).expect("the gateway listens");
        stream.set_nodelay(true).expect("a socket takes options");
        Client { stream, host: addr.to_string(), buffer: Vec::new(), last: Fill::Some, patience: PATIENCE }
    }

    pub(crate) fn patience(self, patience: Duration) -> Client {
        Client { patience, ..self }
    }

    /// Writes bytes; that the other side has gone shows when reading.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    pub(crate) fn send_request(&mut self, request: &Request) {
        self.send(request.bytes(&self.host));
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        self.send_request(request);
        self.answer_to(&request.method)
    }

    /// Reads until what was read holds `needle`.
    pub(crate) fn wait_for(&mut self, needle: &str) {
        while find(&self.buffer, needle.as_bytes()).is_none() {
            let filled = self.fill();
            assert_eq!(filled, Fill::Some, "waited for {needle}, got {:?}", lossy(&self.buffer));
        }
    }

    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("POST")
    }

    /// Reads one answer to its end, or to that of the connection.
    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer(method).unwrap_or_else(|| {
            panic!("no answer, the connection is {:?} after {:?}", self.last, lossy(&self.buffer))
        })
    }

    /// The same; `None` where no head has come.
    pub(crate) fn try_answer(&mut self, method: &str) -> Option<Answer> {
        let (status, headers) = loop {
            let end = loop {
                match find(&self.buffer, b"\r\n\r\n") {
                    Some(end) => break end,
                    None if self.fill() == Fill::Some => {}
                    None => return None,
                }
            };
            let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
            let (status, headers) = parse_head(&lossy(&head));
            if status >= 200 {
                break (status, headers);
            }
        };
        let mut answer = Answer { status, headers, body: Vec::new(), whole: true };
        let chunked = answer.header("transfer-encoding") == "chunked";
        let length = answer.header("content-length").parse::<usize>().ok();
        match length {
            _ if method == "HEAD" || status == 204 || status == 304 => {}
            _ if chunked => answer.whole = self.read_chunks(&mut answer.body),
            Some(length) => {
                while self.buffer.len() < length && self.fill() == Fill::Some {}
                answer.whole = self.buffer.len() >= length;
                let end = length.min(self.buffer.len());
                answer.body = self.buffer.drain(..end).collect();
            }
            None => {
                while self.fill() == Fill::Some {}
                answer.whole = self.last == Fill::Closed;
                answer.body = std::mem::take(&mut self.buffer);
            }
        }
        Some(answer)
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> bool {
        let mut at = 0;
        loop {
            let line = loop {
                match find(&self.buffer[at..], b"\r\n") {
                    Some(end) => break lossy(&self.buffer[at..at + end]),
                    None if self.fill() == Fill::Some => {}
                    None => return false,
                }
            };
            let size = usize::from_str_radix(&line, 16).expect("a chunk has a size");
            let begin = at + line.len() + 2;
            while self.buffer.len() < begin + size + 2 && self.fill() == Fill::Some {}
            let end = (begin + size).min(self.buffer.len());
            body.extend_from_slice(&self.buffer[begin.min(end)..end]);
            if self.buffer.len() < begin + size + 2 {
                return false;
            }
            at = begin + size + 2;
            if size == 0 {
                self.buffer.drain(..at);
                return true;
            }
            if at > 1 << 20 {
                self.buffer.drain(..at);
                at = 0;
            }
        }
    }

    /// Reads what is there, waiting for something.
    pub(crate) fn fill(&mut self) -> Fill {
        self.stream.set_read_timeout(Some(self.patience)).expect("a socket takes options");
        let mut piece = [0; 64 << 10];
        self.last = match self.stream.read(&mut piece) {
            Ok(0) => Fill::Closed,
            Ok(read) => {
                self.buffer.extend_from_slice(&piece[..read]);
                Fill::Some
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Fill::Nothing
            }
            Err(_) => Fill::Reset,
        };
        self.last
    }

    /// Reads until the connection ends: how it ended.
    pub(crate) fn end(&mut self) -> Fill {
        let deadline = Instant::now() + self.patience;
        while self.fill() == Fill::Some && Instant::now() < deadline {}
        self.last
    }

    /// Leaves politely: the other side sees the end.
    pub(crate) fn leave(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Leaves with a reset.
    pub(crate) fn vanish(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket takes options");
    }
}

impl Answer {
    /// A header's values, joined; empty where it is not there.
    pub(crate) fn header(&self, name: &str) -> String {
        let own = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn text(&self) -> String {
        lossy(&self.body)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("not JSON: {} {:?}", self.status, self.text()))
    }

    /// `error.code`, or where the dialect has none `error.type`.
    pub(crate) fn code(&self) -> String {
        code_of(&self.json())
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        events(&self.text())
    }
}

pub(crate) fn code_of(body: &Value) -> String {
    let error = &body["error"];
    error["code"].as_str().or(error["type"].as_str()).unwrap_or_default().to_owned()
}

/// An event of a stream: its name and its data.
pub(crate) type Event = (String, String);

/// The whole events of a stream.
pub(crate) fn events(text: &str) -> Vec<Event> {
    let text = text.replace("\r\n", "\n");
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let field = |block: &str, name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name));
        lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
    };
    let blocks = whole.split("\n\n").map(|block| (field(block, "event:"), field(block, "data:")));
    blocks.filter(|(_, data)| !data.is_empty()).collect()
}

fn parse_head(head: &str) -> (u16, Vec<(String, String)>) {
    let mut lines = head.lines();
    let first = lines.next().unwrap_or_default();
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
    (status.unwrap_or_else(|| panic!("no status: {first:?}")), fields.collect())
}

pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
