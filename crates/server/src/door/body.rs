//! The body of a request: read once, bounded in size and in slowness.

use super::{io::duration, worker::Shared};
use bytes::{Bytes, BytesMut};
use dialect::{Fault, FaultKind};
use engine::limits::{BODIES_MAX, BODY_GRACE, BODY_RATE_MIN};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// Memory for a body, taken from what all bodies may have together and given back when it goes.
pub(crate) struct Permit {
    shared: Arc<Shared>,
    bytes: usize,
}

impl Permit {
    fn none(shared: &Arc<Shared>) -> Self {
        Permit { shared: shared.clone(), bytes: 0 }
    }

    /// Takes what is missing to have `bytes`.
    fn grow(&mut self, bytes: usize) -> Result<(), Fault> {
        let more = bytes.saturating_sub(self.bytes);
        let before = self.shared.bodies.fetch_add(more, Ordering::Relaxed);
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
        self.shared.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads the whole body, at most `max` bytes of it.
///
/// # Errors
/// [`FaultKind::Unavailable`] while other bodies fill the memory for all; [`FaultKind::TooLarge`], before anything is read where the length is announced; [`FaultKind::RequestTimeout`]
/// for one that trickles; [`FaultKind::BadRequest`] for one that breaks off.
pub(super) async fn read(
    shared: &Arc<Shared>,
    mut body: Incoming,
    headers: &HeaderMap,
    max: usize,
) -> Result<(Bytes, Permit), Fault> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > max) {
        return Err(too_large(max));
    }
    encoding(headers)?;
    let mut permit = Permit::none(shared);
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
    }
    Ok((whole.map(BytesMut::freeze).or(first).unwrap_or_default(), permit))
}

/// Waits for a frame no longer than the least rate allows after the grace.
async fn within<T>(began: Instant, read: usize, frame: impl Future<Output = T>) -> Result<T, Fault> {
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
