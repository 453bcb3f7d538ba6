//! A cloud in one server: it gives out credentials, and it is the provider that wants to see them.

use super::{client::find, upstream::Upstream};
use dialect::{DialectId, Losses, canon, frame::Framing};
use serde_json::{Value, json};
use std::{
    io::Write,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

/// It listens until it is dropped.
pub(crate) struct Cloud {
    upstream: Upstream,
    log: Arc<Mutex<Vec<Asked>>>,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    fn read(request: &[u8]) -> Asked {
        let end = find(request, b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&request[..end]).into_owned();
        let mut lines = head.lines();
        let mut words = lines.next().expect("a first line").split(' ');
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Asked {
            method: words.next().expect("a method").to_owned(),
            target: words.next().expect("a target").to_owned(),
            headers: lines.map(header).collect(),
            body: String::from_utf8_lossy(&request[end + 4..]).into_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }

    /// A member of the form in its body, as it was before it was encoded.
    pub(crate) fn form(&self, name: &str) -> String {
        let pair = self.body.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        let mut out = Vec::new();
        let mut rest = pair.unwrap_or_default().as_bytes();
        while let Some((byte, behind)) = rest.split_first() {
            if *byte == b'%' {
                let digits = std::str::from_utf8(&behind[..2]).expect("digits");
                out.push(u8::from_str_radix(digits, 16).expect("digits"));
                rest = &behind[2..];
            } else {
                out.push(*byte);
                rest = behind;
            }
        }
        String::from_utf8(out).expect("text")
    }
}

impl Cloud {
    /// `answer` gets each request and gives a status and a body. What it has nothing for is a question to a
    /// model.
    pub(crate) fn start(answer: impl Fn(&Asked) -> Option<(u16, String)> + Send + Sync + 'static) -> Cloud {
        let log = Arc::<Mutex<Vec<Asked>>>::default();
        let kept = log.clone();
        let upstream = Upstream::start(move |stream, request| {
            let asked = Asked::read(request);
            kept.lock().expect("no panic").push(asked.clone());
            let answer = answer(&asked).map(|(status, body)| (status, body.into_bytes()));
            let (status, body) = answer.unwrap_or_else(|| (200, body_of_model(&asked.target)));
            let streams = status == 200 && asked.target.contains("converse-stream");
            let kind = match () {
                () if streams => Framing::Aws.content_type(),
                () if asked.header("accept") == "text/event-stream" => "text/event-stream",
                () => "application/json",
            };
            let head = format!(
                "HTTP/1.1 {status} So\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        });
        Cloud { upstream, log }
    }

    /// One that gives out `tok-1`, `tok-2` … at `/token`, good for so many seconds.
    pub(crate) fn of_tokens(life: u64) -> Cloud {
        let count = AtomicU32::new(0);
        Cloud::start(move |asked| {
            asked.target.contains("token").then(|| {
                let token = format!("tok-{}-0123456789", count.fetch_add(1, Ordering::SeqCst) + 1);
                (200, json!({"access_token": token, "expires_in": life, "token_type": "Bearer"}).to_string())
            })
        })
    }

    pub(crate) fn url(&self) -> String {
        self.upstream.url()
    }

    /// `127.0.0.1:PORT`
    pub(crate) fn host(&self) -> String {
        self.upstream.addr.to_string()
    }

    /// What it was asked of which the target holds `part`.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        let log = self.log.lock().expect("no panic");
        log.iter().filter(|asked| asked.target.contains(part)).cloned().collect()
    }

    /// The one request of which the target holds `part`.
    pub(crate) fn asked_once(&self, part: &str) -> Asked {
        let mut found = self.asked(part);
        assert_eq!(found.len(), 1, "{part}: {found:?}");
        found.remove(0)
    }
}

/// The same as bytes, which may be those of a stream.
fn body_of_model(target: &str) -> Vec<u8> {
    let body = of_model(target).to_string().into_bytes();
    if !target.contains("converse-stream") {
        return body;
    }
    let bedrock = DialectId::Bedrock.dialect();
    let message = bedrock.read_response(&body).expect("an answer").value;
    let mut writer = bedrock.writer(&canon::Request::new(DialectId::Bedrock, "m"));
    let (mut out, mut losses) = (Vec::new(), Losses::new());
    for event in canon::unfold(&message) {
        writer.write(&event, &mut out, &mut losses);
    }
    out
}

/// A short answer in the dialect of the path.
fn of_model(target: &str) -> Value {
    if target.contains("converse") {
        return json!({"output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}});
    }
    if target.contains("generateContent") {
        return json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}});
    }
    if target.contains("rawPredict") {
        return json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hi"}],
            "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 1}});
    }
    if target.contains("publishers/google/models") {
        return json!({"publisherModels": [{"name": "publishers/google/models/gemini-x"}]});
    }
    if target.contains("foundation-models") {
        return json!({"modelSummaries": [{"modelId": "anthropic.claude-x"}]});
    }
    if target.contains("/models") {
        return json!({"object": "list", "data": [{"id": "gpt-x", "object": "model"}]});
    }
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]})
}

/// A file that no other has, gone with the last who needs it.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn holding(text: &str) -> File {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sekisho-it-{}-{number}.txt", std::process::id()));
        std::fs::write(&path, text).expect("a file can be written");
        File(path)
    }

    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
