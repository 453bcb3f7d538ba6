//! The body of a request: read once, bounded in size and in slowness.

use super::{io::duration, worker::Worker};
use crate::{
    limits::BODY_COUNTED,
    upload::{self, Upload},
};
use bytes::{Bytes, BytesMut};
use dialect::{Fault, FaultKind};
use engine::{
    form::{Field, Form},
    limits::{BODIES_MAX, BODY_GRACE, BODY_RATE_MIN, UPLOAD_MAX},
};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::{future::poll_fn, pin::pin, rc::Rc, sync::atomic::Ordering, task::Poll, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Memory for a body, taken from what all bodies may have together and given back when it goes.
pub(crate) struct Permit {
    worker: Rc<Worker>,
    bytes: usize,
}

impl Permit {
    fn none(worker: &Rc<Worker>) -> Self {
        Permit { worker: worker.clone(), bytes: 0 }
    }

    /// As much once more, if there is room.
    pub(super) fn again(&self) -> Option<Self> {
        let mut other = Permit::none(&self.worker);
        other.grow(self.bytes).ok()?;
        Some(other)
    }

    /// Takes what is missing to have `bytes`. Small bodies are bounded by their number, and not counted.
    fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let more = bytes.saturating_sub(self.bytes);
        if more == 0 || bytes < BODY_COUNTED {
            return Ok(());
        }
        let before = self.worker.shared.bodies.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before.saturating_add(more) <= BODIES_MAX {
            return Ok(());
        }
        let fault = Fault::new(FaultKind::Unavailable, "too many large requests are being served");
        Err(Fault { retry_after_ms: Some(1_000), ..fault })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.worker.shared.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Reads the whole body, at most `max` bytes of it.
///
/// # Errors
/// [`FaultKind::Unavailable`] while other bodies fill the memory for all; [`FaultKind::TooLarge`], before anything is read where the length is announced; [`FaultKind::RequestTimeout`]
/// for one that trickles; [`FaultKind::BadRequest`] for one that breaks off.
pub(super) async fn read(
    worker: &Rc<Worker>,
    mut body: Incoming,
    headers: &HeaderMap,
    max: usize,
) -> Result<(Bytes, Permit), Fault> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > max) {
        return Err(too_large(max));
    }
    encoding(headers)?;
    let mut permit = Permit::none(worker);
    permit.grow(announced.unwrap_or(0))?;
    let began = Instant::now();
    let mut whole: Option<BytesMut> = None;
    let mut first: Option<Bytes> = None;
    let mut read = 0_usize;
    while let Some(frame) = within(began, read, body.frame()).await? {
        let frame = frame.map_err(|_| Fault::bad("", "the body broke off before its end"))?;
        let Ok(data) = frame.into_data() else { continue };
        read = read.saturating_add(data.len());
        if read > max {
            return Err(too_large(max));
        }
        permit.grow(read)?;
        // One piece is the usual case, and is not copied.
        match (&mut first, &mut whole) {
            (None, None) => first = Some(data),
            (Some(begin), None) => {
                let mut buffer = BytesMut::with_capacity(announced.unwrap_or(read * 2).min(max));
                buffer.extend_from_slice(begin);
                buffer.extend_from_slice(&data);
                whole = Some(buffer);
            }
            (_, Some(buffer)) => buffer.extend_from_slice(&data),
        }
        if announced == Some(read) {
            break;
        }
    }
    Ok((whole.map(BytesMut::freeze).or(first).unwrap_or_default(), permit))
}

/// Reads the beginning of a body that goes on as it comes: of a `form`, until it has named its model, which
/// is looked for in the first `max` bytes. The rest is `None` where there is none.
///
/// # Errors
/// As [`read`], with a limit of its own ([`UPLOAD_MAX`]); a bad request for a form that cannot be read, or has
/// no model in its first bytes.
pub(super) async fn begin(
    worker: &Rc<Worker>,
    mut body: Incoming,
    headers: &HeaderMap,
    max: usize,
    mut form: Option<Form>,
) -> Result<Begun, Fault> {
    if body.size_hint().lower() > UPLOAD_MAX {
        return Err(upload::too_large());
    }
    encoding(headers)?;
    let mut permit = Permit::none(worker);
    let began = Instant::now();
    let mut read = BytesMut::new();
    // A small one is read whole: then it can be sent to a second target.
    let small = body.size_hint().upper().is_some_and(|most| most <= BODY_COUNTED as u64);
    let nameless = |form: &Option<Form>| form.as_ref().is_some_and(|form| form.model().is_none());
    while !body.is_end_stream() && (small || nameless(&form)) {
        let Some(frame) = within(began, read.len(), body.frame()).await? else { break };
        let frame = frame.map_err(|_| Fault::bad("", "the body broke off before its end"))?;
        let Ok(data) = frame.into_data() else { continue };
        if let Some(form) = &mut form {
            form.feed(&data)?;
        }
        permit.grow(read.len() + data.len())?;
        read.extend_from_slice(&data);
        if !small && nameless(&form) && read.len() > max {
            let fault = Fault::bad("model", format!("no `model` in the first {max} bytes of the form"));
            return Err(
                fault.hint("send the field `model` before the file, or the header `x-sekisho-provider`")
            );
        }
    }
    let field = form.as_ref().and_then(Form::model).cloned();
    let rest = (!body.is_end_stream()).then(|| Upload::new(worker, body, form, read.len()));
    Ok(Begun { body: read.freeze(), field, rest, permit })
}

/// The beginning of a body.
pub(super) struct Begun {
    pub(super) body: Bytes,
    pub(super) field: Option<Field>,
    pub(super) rest: Option<Upload>,
    pub(super) permit: Permit,
}

/// Waits for a frame no longer than the least rate allows after the grace. One that is there already costs
/// no timer.
async fn within<T>(began: Instant, read: usize, frame: impl Future<Output = T>) -> Result<T, Fault> {
    let mut frame = pin!(frame);
    if let Poll::Ready(frame) = poll_fn(|cx| Poll::Ready(frame.as_mut().poll(cx))).await {
        return Ok(frame);
    }
    let earned = Duration::from_secs(read as u64 / BODY_RATE_MIN);
    timeout_at(began + duration(BODY_GRACE) + earned, frame).await.map_err(|_| {
        let message = format!("the body came slower than {BODY_RATE_MIN} bytes a second");
        Fault::new(FaultKind::RequestTimeout, message)
    })
}

/// A compressed body cannot be read, and what cannot be read cannot be authorised.
fn encoding(headers: &HeaderMap) -> Result<(), Fault> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(Fault::new(FaultKind::Unsupported, "a compressed body is not taken").hint("send it as it is"))
        }
        _ => Ok(()),
    }
}

fn too_large(max: usize) -> Fault {
    Fault::new(FaultKind::TooLarge, format!("the body is over the limit of {max} bytes"))
}
