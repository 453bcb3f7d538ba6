//! Credentials that run out: fetched where they are given out, kept by the whole process, renewed before
//! they end. Many requests at once cause one fetch, and a fetch goes on when the request that caused it has
//! gone.

mod aws;
mod fetch;
mod keep;
mod token;

use crate::{
    door::{
        io::duration,
        worker::{Worker, lock},
    },
    limits::CREDENTIAL_TIMEOUT,
    upload::Pieces,
};
use engine::{
    cloud::{Scheme, Signer, Source},
    exchange::Io,
    secret::Secret,
    sign::aws as sigv4,
};
use fetch::Fetcher;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use keep::{Grant, Next, State};
use std::{
    rc::Rc,
    sync::{Arc, Mutex, Weak},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{sync::watch, task::spawn_local, time::timeout};

/// What signs.
pub(crate) enum Credential {
    /// The value of `Authorization`.
    Bearer(HeaderValue),
    /// An access key.
    Aws(sigv4::Credentials),
}

impl Credential {
    /// What of it nobody else may read.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        match self {
            Credential::Bearer(value) => {
                let token = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "));
                token.map(Secret::new).into_iter().collect()
            }
            Credential::Aws(keys) => {
                [Some(&keys.secret), keys.session.as_ref()].into_iter().flatten().cloned().collect()
            }
        }
    }
}

/// The credentials of all providers. A new configuration brings new signers, and those begin anew.
#[derive(Default)]
pub(crate) struct Credentials(Mutex<Vec<(Weak<Signer>, Arc<Slot>)>>);

/// The credentials of one provider.
struct Slot {
    state: Mutex<State>,
    settled: watch::Sender<()>,
}

impl Credentials {
    fn slot(&self, signer: &Arc<Signer>) -> Arc<Slot> {
        let mut slots = lock(&self.0);
        slots.retain(|(known, _)| known.strong_count() > 0);
        let found = slots.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(signer)));
        if let Some((_, slot)) = found {
            return slot.clone();
        }
        let slot = Arc::new(Slot { state: Mutex::default(), settled: watch::Sender::new(()) });
        slots.push((Arc::downgrade(signer), slot.clone()));
        slot
    }

    /// The provider would not take what `signer` gave: it is fetched anew when it is next needed.
    pub(crate) fn doubt(&self, signer: &Arc<Signer>) {
        lock(&self.slot(signer).state).doubt(unix_seconds());
    }
}

/// Signs a request that is about to be sent: what it was signed with.
///
/// # Errors
/// [`Io::Credentials`] where there are none; the log has been told why.
pub(crate) async fn sign(
    worker: &Rc<Worker>,
    signer: &Arc<Signer>,
    request: &mut Request<Pieces>,
) -> Result<Arc<Credential>, Io> {
    let credential = obtain(worker, signer).await.ok_or(Io::Credentials)?;
    let signed = put(&credential, &signer.scheme, request, unix_seconds());
    signed.map(|()| credential).map_err(|why| {
        let provider = signer.provider;
        worker.shared.log.say("error", &format!("provider `{provider}`: a request cannot be signed: {why}"));
        Io::Credentials
    })
}

/// Credentials that are good now, waited for where there are none.
async fn obtain(worker: &Rc<Worker>, signer: &Arc<Signer>) -> Option<Arc<Credential>> {
    let slot = worker.shared.credentials.slot(signer);
    let mut settled = slot.settled.subscribe();
    let next = lock(&slot.state).next(unix_seconds());
    match next {
        Next::Use(credential) => return Some(credential),
        Next::Renew(credential) => {
            spawn_local(renew(worker.clone(), signer.clone(), slot));
            return Some(credential);
        }
        Next::Refuse => return None,
        Next::Fetch => {
            spawn_local(renew(worker.clone(), signer.clone(), slot.clone()));
        }
        Next::Wait => {}
    }
    settled.changed().await.ok()?;
    lock(&slot.state).outcome(unix_seconds())
}

/// Fetches credentials and keeps them.
async fn renew(worker: Rc<Worker>, signer: Arc<Signer>, slot: Arc<Slot>) {
    let mut settling = Settling { slot, grant: None };
    let fetcher = Fetcher { pool: worker.pool(), now: unix_seconds() };
    let fetched = timeout(duration(CREDENTIAL_TIMEOUT), fetch(&fetcher, &signer.source)).await;
    let fetched = fetched.unwrap_or_else(|_| Err("nothing came in time".to_owned()));
    if let Err(why) = &fetched {
        let (provider, source) = (signer.provider, signer.source.name());
        worker
            .shared
            .log
            .say("error", &format!("provider `{provider}`: no credentials from {source}: {why}"));
    }
    settling.grant = fetched.ok();
}

/// However a fetch ends, it is settled, and nobody waits for it any more.
struct Settling {
    slot: Arc<Slot>,
    grant: Option<Grant>,
}

impl Drop for Settling {
    fn drop(&mut self) {
        lock(&self.slot.state).settle(self.grant.take(), unix_seconds());
        self.slot.settled.send_replace(());
    }
}

async fn fetch(fetcher: &Fetcher, source: &Source) -> Result<Grant, String> {
    match source {
        Source::Token(token) => token::plain(token),
        Source::EntraClient { url, client, proof } => token::entra(fetcher, url, client, proof).await,
        Source::EntraManaged { url, header } => token::managed(fetcher, url, header).await,
        Source::GoogleAccount { url, email, key_id, key } => {
            token::google_account(fetcher, url, email, key_id.as_deref(), key).await
        }
        Source::GoogleUser { url, client, secret, refresh } => {
            token::google_user(fetcher, url, client, secret, refresh).await
        }
        Source::GoogleMetadata { url } => token::google_metadata(fetcher, url).await,
        Source::AwsKeys(keys) => Ok(aws::static_keys(keys.clone())),
        Source::AwsProfile { files, profile } => aws::profile(fetcher, files, profile),
        Source::AwsWebIdentity { url, role, session, token_file } => {
            aws::web_identity(fetcher, url, role, session, token_file).await
        }
        Source::AwsContainer { url, token } => aws::container(fetcher, url, token.as_ref()).await,
        Source::AwsInstance { url } => aws::instance(fetcher, url).await,
    }
}

/// Puts a credential into a request.
fn put(
    credential: &Credential,
    scheme: &Scheme,
    request: &mut Request<Pieces>,
    now: u64,
) -> Result<(), String> {
    match (credential, scheme) {
        (Credential::Bearer(value), Scheme::Bearer) => {
            request.headers_mut().insert(AUTHORIZATION, value.clone());
            Ok(())
        }
        (Credential::Aws(_), _) if request.body().is_once() => {
            Err("AWS signs the whole body, and this one passes piece by piece".to_owned())
        }
        (Credential::Aws(keys), Scheme::SigV4 { region, service }) => {
            // What a client has signed with keys of its own says nothing of us.
            for name in ["x-amz-date", "x-amz-security-token", "x-amz-content-sha256"] {
                request.headers_mut().remove(name);
            }
            let headers = covered(request.headers());
            let signable = sigv4::Signable {
                service,
                method: request.method(),
                uri: request.uri(),
                headers: &headers,
                body_sha256: sigv4::hash(request.body().pieces()),
            };
            let added = sigv4::sign(&signable, keys, region, now).map_err(|fault| fault.message)?;
            added.into_iter().for_each(|(name, value)| drop(request.headers_mut().insert(name, value)));
            Ok(())
        }
        _ => Err("the credentials are of another kind".to_owned()),
    }
}

/// The headers that a signature covers: AWS demands its own, and others might be changed on the way.
fn covered(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let is_covered = |name: &HeaderName| *name == CONTENT_TYPE || name.as_str().starts_with("x-amz");
    headers
        .iter()
        .filter(|(name, _)| is_covered(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
