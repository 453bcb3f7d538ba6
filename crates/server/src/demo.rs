//! The provider `demo`: the engine says what it answers, this paces it like a real one.

use bytes::Bytes;
use engine::{
    demo::{self, PACE},
    exchange::{Attempt, Report, UpstreamHead},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Sleep, sleep};

/// An answer of the demo on its way.
pub(crate) struct Demo {
    head: Option<UpstreamHead>,
    pieces: VecDeque<Bytes>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Demo {
    /// Answers `request`.
    pub(crate) fn new(request: &[u8]) -> Self {
        let answer = demo::answer(request);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
        Demo {
            head: Some(UpstreamHead { status, headers, framed: true, signed_with: Vec::new() }),
            pieces: answer.pieces.into(),
            pause: None,
        }
    }

    /// What comes next.
    pub(crate) fn poll(&mut self, attempt: Attempt, cx: &mut Context<'_>) -> Poll<Report> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Report::Head(attempt, head));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        self.pause = Some(Box::pin(sleep(crate::door::io::duration(PACE))));
        Poll::Ready(match self.pieces.pop_front() {
            Some(piece) => Report::Body(attempt, piece),
            None => Report::End(attempt),
        })
    }
}
