//! `/v1/models` and `/v1beta/models`: the operator's names first, then what the providers themselves list.

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
use dialect::{DialectId, Fault, FaultKind};
use engine::{
    headers,
    listing::{self, Listed},
    path,
    plan::{Plan, PlanHandle, Provider},
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
pub(crate) struct Catalogue(Mutex<HashMap<String, Told>>);

/// One provider's list, and when it was told.
type Told = (Instant, Arc<Vec<Listed>>);

impl Catalogue {
    fn fresh(&self, provider: &str) -> Option<Arc<Vec<Listed>>> {
        let lists = lock(&self.0);
        let (at, list) = lists.get(provider)?;
        (at.elapsed() < duration(CATALOGUE_TTL)).then(|| list.clone())
    }

    fn keep(&self, provider: &str, list: Arc<Vec<Listed>>) {
        lock(&self.0).insert(provider.to_owned(), (Instant::now(), list));
    }
}

/// Every model there is, as the API of `dialect` lists them.
pub(crate) async fn list(
    worker: &Rc<Worker>,
    client: &ClientIo,
    plan: &PlanHandle,
    dialect: DialectId,
) -> Response<ReplyBody> {
    let models = gather(worker, plan).await;
    let models = models.iter().map(|model| told(plan, dialect, model)).collect();
    reply::json(worker, client, dialect, StatusCode::OK, &listing::list(dialect, models))
}

/// One model; `name` is as the path has it.
///
/// # Errors
/// [`FaultKind::ModelNotFound`] where the name leads nowhere.
pub(crate) async fn one(
    worker: &Rc<Worker>,
    client: &ClientIo,
    plan: &PlanHandle,
    dialect: DialectId,
    name: &str,
) -> Result<Response<ReplyBody>, Fault> {
    let name = path::decode(name).unwrap_or_default();
    let known = gather(worker, plan).await;
    match known.iter().find(|model| model.id == name) {
        Some(model) => {
            let model = told(plan, dialect, model);
            Ok(reply::json(worker, client, dialect, StatusCode::OK, &model))
        }
        None => {
            let fault = plan.resolve(&name).err();
            let unlisted = || Fault::new(FaultKind::ModelNotFound, "no provider lists this model");
            Err(fault.unwrap_or_else(unlisted))
        }
    }
}

/// The model with what is known of the first target of its name.
fn told(plan: &Plan, dialect: DialectId, model: &Listed) -> Value {
    let aim = plan.resolve(&model.id).ok().and_then(|route| route.aims.into_iter().next());
    let provider = aim.as_ref().and_then(|aim| plan.providers.get(aim.provider));
    let facts = aim.as_ref().zip(provider).map(|(aim, provider)| provider.facts(&aim.model));
    model.told(dialect, &facts.unwrap_or_default())
}

async fn gather(worker: &Rc<Worker>, plan: &PlanHandle) -> Vec<Listed> {
    let mut entries: Vec<Listed> = plan.aliases.keys().map(|name| Listed::new(name, "sekisho")).collect();
    // All are asked at once; one that fails or is late contributes nothing.
    let asked: Vec<_> = (0..plan.providers.len())
        .map(|index| spawn_local(of_provider(worker.clone(), plan.clone(), index)))
        .collect();
    for list in asked {
        entries.extend(list.await.unwrap_or_default().iter().cloned());
    }
    entries
}

async fn of_provider(worker: Rc<Worker>, plan: PlanHandle, index: usize) -> Arc<Vec<Listed>> {
    let Some(provider) = plan.providers.get(index) else { return Arc::default() };
    if !provider.listed.is_empty() {
        let entry = |model: &String| Listed::new(&format!("{}/{model}", provider.name), &provider.name);
        return Arc::new(provider.listed.iter().map(entry).collect());
    }
    if provider.built_in {
        return Arc::new(vec![Listed::new(engine::demo::MODEL, &provider.name)]);
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

async fn ask(worker: &Rc<Worker>, provider: &Provider) -> Option<Vec<Listed>> {
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
