//! `/v1/models`: the operator's names first, then what the providers themselves list.

use crate::{
    credential,
    door::{
        io::{ClientIo, duration},
        reply::{self, ReplyBody},
        worker::{Worker, lock},
    },
    limits::{CATALOGUE_BODY_MAX, CATALOGUE_TIMEOUT, CATALOGUE_TTL},
    upload::Pieces,
    upstream::Answer,
};
use dialect::{Fault, FaultKind};
use engine::{
    headers, listing,
    plan::{PlanHandle, Provider},
};
use http::{Request, Response, StatusCode};
use serde_json::Value;
use std::{
    collections::HashMap,
    future::poll_fn,
    rc::Rc,
    sync::{Arc, Mutex},
};
use tokio::{
    task::spawn_local,
    time::{Instant, timeout},
};

/// What providers listed, and when.
#[derive(Default)]
pub(crate) struct Catalogue(Mutex<HashMap<String, Listed>>);

/// One provider's list, and when it was told.
type Listed = (Instant, Arc<Vec<Value>>);

impl Catalogue {
    fn fresh(&self, provider: &str) -> Option<Arc<Vec<Value>>> {
        let lists = lock(&self.0);
        let (at, list) = lists.get(provider)?;
        (at.elapsed() < duration(CATALOGUE_TTL)).then(|| list.clone())
    }

    fn keep(&self, provider: &str, list: Arc<Vec<Value>>) {
        lock(&self.0).insert(provider.to_owned(), (Instant::now(), list));
    }
}

/// Every model there is.
pub(crate) async fn list(worker: &Rc<Worker>, client: &ClientIo, plan: &PlanHandle) -> Response<ReplyBody> {
    let entries = gather(worker, plan).await;
    reply::json(worker, client, StatusCode::OK, &listing::list(entries))
}

/// One model.
///
/// # Errors
/// [`FaultKind::ModelNotFound`] where the name leads nowhere.
pub(crate) async fn one(
    worker: &Rc<Worker>,
    client: &ClientIo,
    plan: &PlanHandle,
    name: &str,
) -> Result<Response<ReplyBody>, Fault> {
    let known = gather(worker, plan).await;
    let found = known.into_iter().find(|entry| entry.get("id").and_then(Value::as_str) == Some(name));
    match found {
        Some(entry) => Ok(reply::json(worker, client, StatusCode::OK, &entry)),
        None => {
            let fault = plan.resolve(name).err();
            let unlisted = || Fault::new(FaultKind::ModelNotFound, "no provider lists this model");
            Err(fault.unwrap_or_else(unlisted))
        }
    }
}

async fn gather(worker: &Rc<Worker>, plan: &PlanHandle) -> Vec<Value> {
    let aliases = plan.aliases.keys().map(|name| listing::entry(name, "sekisho", 0));
    let mut entries: Vec<Value> = aliases.collect();
    // All are asked at once; one that fails or is late contributes nothing.
    let asked: Vec<_> = (0..plan.providers.len())
        .map(|index| spawn_local(of_provider(worker.clone(), plan.clone(), index)))
        .collect();
    for list in asked {
        entries.extend(list.await.unwrap_or_default().iter().cloned());
    }
    entries
}

async fn of_provider(worker: Rc<Worker>, plan: PlanHandle, index: usize) -> Arc<Vec<Value>> {
    let Some(provider) = plan.providers.get(index) else { return Arc::default() };
    if !provider.listed.is_empty() {
        let entry = |model: &String| listing::entry(&format!("{}/{model}", provider.name), &provider.name, 0);
        return Arc::new(provider.listed.iter().map(entry).collect());
    }
    if provider.built_in {
        return Arc::new(vec![listing::entry(engine::demo::MODEL, &provider.name, 0)]);
    }
    if let Some(list) = worker.shared.catalogue.fresh(&provider.name) {
        return list;
    }
    let Ok(Some(list)) = timeout(duration(CATALOGUE_TIMEOUT), ask(&worker, provider)).await else {
        return Arc::default();
    };
    let list = Arc::new(list);
    worker.shared.catalogue.keep(&provider.name, list.clone());
    list
}

async fn ask(worker: &Rc<Worker>, provider: &Provider) -> Option<Vec<Value>> {
    let (_, shape) = provider.models.as_ref()?;
    let uri = provider.models_url()?;
    let mut request = Request::new(Pieces::default());
    headers::credentials(request.headers_mut(), provider, provider.auth_at(uri.path()), 0).ok()?;
    *request.uri_mut() = uri;
    if let Some(signer) = &provider.signer {
        credential::sign(worker, signer, &mut request).await.ok()?;
    }
    let response = worker.pool().send(request, false).await.ok()?;
    let body = response.status().is_success().then_some(response.into_body())?;
    Some(listing::read(*shape, &provider.name, &whole(body).await?))
}

/// The whole body, where it is within its limit.
async fn whole(mut body: Answer) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = poll_fn(|cx| body.poll_piece(cx)).await {
        bytes.extend_from_slice(&piece.ok()?);
        if bytes.len() > CATALOGUE_BODY_MAX {
            return None;
        }
    }
    Some(bytes)
}
