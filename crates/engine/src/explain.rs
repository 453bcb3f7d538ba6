//! What would become of a request: told, not done. No secret is in it.

mod limited;
#[cfg(test)]
mod tests;
mod text;

use crate::{
    access::Caller,
    exchange::{Inbound, Named, Preview},
    fit,
    limits::MODEL_NAME_MAX,
    models::{Bucket, Facts, Money},
    path::KeyChoice,
    plan::{Plan, PlanHandle, Provider, Streams},
    route::DEFAULT,
    tiers::{Strategy, Tier, When},
    time::{Instant, Span},
};
use bytes::Bytes;
use dialect::{
    DialectId, Fault, Target,
    canon::{At, Block, Extra, Kind, Request, Role, Turn, Usage},
    splice::{Edit, Outline},
};
use http::{HeaderMap, Method};
pub use limited::{Limit, Limited, Waits};
use serde::Serialize;

/// What is asked about.
pub struct Question<'q> {
    /// The model's name.
    pub model: &'q str,
    /// The caller's dialect, one of [`DialectId::callers`].
    pub dialect: DialectId,
    /// Who calls; nobody in particular has the limits of each caller.
    pub caller: Caller,
    /// His request; its own model does not count. `None` for a short one without anything particular.
    pub body: Option<Bytes>,
}

/// What would become of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Explained {
    /// The model's name.
    pub model: String,
    /// How that was understood.
    pub understood_as: String,
    /// The caller's dialect.
    pub dialect: &'static str,
    /// The request belongs to a conversation, which chooses its targets.
    pub conversation: bool,
    /// What the request needs of a model; `None` where no request was given.
    pub request: Option<Wanted>,
    /// The limits that it comes under before a target is chosen; `None` where nothing is limited.
    pub limited: Option<Limited>,
    /// Where some of the requests go as well, and how many of a hundred.
    pub mirror: Option<(String, f64)>,
    /// The targets: first those that may be asked, in order.
    pub targets: Vec<Explanation>,
    /// What is done when one fails.
    pub failover: Settings,
}

/// What a request needs of a model.
#[derive(Clone, Debug, Serialize)]
pub struct Wanted {
    /// Abilities, by their names in configuration.
    pub abilities: Vec<&'static str>,
    /// About how many tokens the prompt has.
    pub prompt_tokens: u64,
    /// How long an answer is wanted at most, in tokens.
    pub answer_tokens: Option<u64>,
}

/// One target.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// `provider/model`.
    pub target: String,
    /// Its tier, from 1; the next is asked when nothing is left of the first.
    pub tier: usize,
    /// The name whose target it is.
    pub of: String,
    /// For which faults it is there.
    pub when: &'static str,
    /// How one of its tier is chosen.
    pub strategy: &'static str,
    /// Its weight.
    pub weight: u32,
    /// Of the requests to its tier, so many hundredths, where the strategy goes by weights.
    pub share_percent: Option<u32>,
    /// Members of the request that the target's entry gives where the request does not say them, or always.
    pub params: Vec<String>,
    /// Members that the provider or the target's entry leaves out.
    pub drops: Vec<String>,
    /// The limits that an attempt at it comes under.
    pub limits: Vec<Limit>,
    /// Why it would not be asked.
    pub passed_over: Option<String>,
    /// Why it may be unable to serve the request, though it would be asked: nobody else could.
    pub doubtful: Option<String>,
    /// Something is known of the model.
    pub known: bool,
    /// Its context window, in tokens.
    pub context_window: Option<u64>,
    /// Its price in US dollars, for a million tokens: what it reads, and what it writes.
    pub price_per_million: Option<(String, String)>,
    /// The same for this request, in US dollars.
    pub estimate: Option<Estimate>,
    /// What it would be asked.
    pub asked: Option<Asked>,
    /// Why it cannot be asked at all.
    pub refused: Option<String>,
}

/// What a request would cost, in US dollars.
#[derive(Clone, Debug, Serialize)]
pub struct Estimate {
    /// Its prompt, about.
    pub prompt: String,
    /// With the longest answer that it takes; `None` where that is not known.
    pub at_most: Option<String>,
}

/// What a target would be asked.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The address; of what lives in this process there is none.
    pub url: Option<String>,
    /// The dialect.
    pub dialect: &'static str,
    /// The request is written anew in that dialect, or else passes as it came but for what was declared.
    pub translated: bool,
    /// How it proves who it is.
    pub credentials: String,
    /// What could not be carried.
    pub losses: Vec<Lost>,
    /// The body; `None` where no request was given.
    pub body: Option<String>,
}

/// What could not be carried.
#[derive(Clone, Debug, Serialize)]
pub struct Lost {
    /// Where it stands in the request.
    pub pointer: String,
    /// Why.
    pub why: &'static str,
}

/// What is done when a target fails. Lengths of time are in milliseconds.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each is described where it is configured: `failover`, `timeouts`")]
pub struct Settings {
    pub attempts: u32,
    pub retries: u32,
    pub race_ms: u64,
    pub hedge: Option<Hedged>,
    pub streams: &'static str,
    pub content_filter: bool,
    pub strict: bool,
    pub connect_ms: u64,
    pub first_byte_ms: u64,
    pub first_token_ms: u64,
    pub idle_ms: u64,
    pub total_ms: u64,
    pub body_max_bytes: usize,
}

/// When the next target is asked beside one that is not slow yet.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "each is described where it is configured: `failover.hedge`")]
pub struct Hedged {
    pub after_ms: u64,
    pub percent: f64,
}

/// What would become of a request.
///
/// # Errors
/// What the caller would be told: no such model, or a body that cannot be read. Or there is no such caller.
pub fn explain(plan: &PlanHandle, question: &Question<'_>) -> Result<Explained, Fault> {
    let callers = plan.access.keys.len();
    if question.caller.0.is_some_and(|caller| caller >= callers) {
        return Err(Fault::bad(
            "caller",
            match callers {
                0 => "there are no client keys".to_owned(),
                last => format!("the client keys have the numbers 1 to {last}"),
            },
        ));
    }
    let inbound = inbound(question)?;
    let mut preview = Preview::new(plan.clone(), question.dialect, inbound)?;
    let given = question.body.is_some();
    let (needs, limit) = preview.needs()?;
    let mut targets = Vec::new();
    for aim in order(&preview) {
        targets.extend(one(plan, &mut preview, aim, &needs, limit, given));
    }
    if !preview.sticks() {
        share(&mut targets);
    }
    let names = needs.abilities.iter().map(|ability| ability.name()).collect();
    let wanted = Wanted { abilities: names, prompt_tokens: needs.prompt, answer_tokens: limit };
    Ok(Explained {
        model: question.model.to_owned(),
        understood_as: understood(plan, question.model),
        dialect: question.dialect.name(),
        conversation: preview.sticks(),
        limited: Limited::of(plan, question.caller, question.model),
        mirror: preview.shape().and_then(|s| s.mirror.as_ref()).map(|to| (to.to.clone(), to.percent())),
        request: given.then_some(wanted),
        targets,
        failover: Settings::of(plan),
    })
}

/// The targets as they are told: tier by tier, and in a tier as the operator wrote them unless the request itself
/// settles their order. Those that would not be asked come last.
fn order(preview: &Preview) -> Vec<usize> {
    let asked = preview.order();
    let mut all = asked.clone();
    if !preview.sticks() {
        let tier = |aim: &usize| {
            preview.shape().and_then(|shape| shape.tiers.iter().position(|t| t.aims.contains(aim)))
        };
        all.sort_by_key(|aim| (tier(aim), *aim));
        let is_spare = |aim: &usize| when(preview, *aim) != When::Always;
        all.sort_by_key(is_spare);
    }
    all.extend((0..preview.aims().len()).filter(|aim| !asked.contains(aim)));
    all
}

fn tier(preview: &Preview, aim: usize) -> Option<(usize, &Tier)> {
    let mut tiers = preview.shape()?.tiers.iter().enumerate();
    tiers.find(|(_, tier)| tier.aims.contains(&aim)).map(|(number, tier)| (number + 1, tier))
}

fn when(preview: &Preview, aim: usize) -> When {
    tier(preview, aim).map_or(When::Always, |(_, tier)| tier.when)
}

fn one(
    plan: &Plan,
    preview: &mut Preview,
    index: usize,
    needs: &fit::Needs,
    limit: Option<u64>,
    given: bool,
) -> Option<Explanation> {
    let aim = preview.aims().get(index)?.clone();
    let provider = plan.providers.get(aim.provider)?;
    let facts = provider.facts(&aim.model);
    let passed_over = !preview.order().contains(&index);
    let unfit = fit::fit(needs, &facts).err().map(|why| why.to_string());
    let asked = asked(preview, provider, index, given);
    let (tier_number, strategy, of) = match tier(preview, index) {
        Some((number, tier)) => (number, tier.strategy, tier.of.clone()),
        None => (1, Strategy::Ordered, String::new()),
    };
    let (asked, refused) = match asked {
        Ok(asked) => (Some(asked), None),
        Err(fault) => (None, Some(fault.text())),
    };
    let because = || unfit.clone().unwrap_or_else(|| "it is there for a fault that cannot happen".to_owned());
    Some(Explanation {
        target: plan.target(&aim),
        tier: tier_number,
        of,
        when: match when(preview, index) {
            When::Always => "always",
            When::TooLong => "prompt too long",
            When::Filtered => "content filter",
        },
        strategy: strategy.name(),
        weight: aim.weight(),
        share_percent: None,
        params: aim.edits().0.iter().map(|(name, _)| name.clone()).collect(),
        drops: provider.drops.iter().chain(aim.edits().1).cloned().collect(),
        limits: Limit::of_target(plan, &aim),
        passed_over: passed_over.then(because),
        doubtful: unfit.filter(|_| !passed_over),
        known: *facts != Facts::default(),
        context_window: facts.context,
        price_per_million: price(&facts),
        estimate: if given { estimate(&facts, needs.prompt, limit) } else { None },
        asked,
        refused,
    })
}

fn asked(preview: &mut Preview, provider: &Provider, aim: usize, given: bool) -> Result<Asked, Fault> {
    let (upstream, losses) = preview.render(aim)?;
    let spoken = preview.dialect_of(aim);
    let body = upstream.body.concat();
    Ok(Asked {
        method: upstream.method.to_string(),
        url: (!provider.built_in).then(|| upstream.uri.to_string()),
        dialect: spoken.name(),
        translated: preview.translates(aim),
        credentials: credentials(provider),
        losses: losses.iter().map(|loss| Lost { pointer: loss.pointer.clone(), why: loss.why }).collect(),
        body: given.then(|| String::from_utf8_lossy(&body).into_owned()),
    })
}

fn credentials(provider: &Provider) -> String {
    match (&provider.signer, provider.keys.len()) {
        (Some(signer), _) => format!("signed with {}", signer.source.name()),
        (None, 0) => "none".to_owned(),
        (None, 1) => "its key".to_owned(),
        (None, keys) => format!("one of {keys} keys"),
    }
}

/// Who goes by weights has a share of them, among those of its tier that may be asked.
fn share(targets: &mut [Explanation]) {
    let by_weight =
        |strategy: &str| [Strategy::Shuffle, Strategy::RoundRobin].iter().any(|s| s.name() == strategy);
    let weights: Vec<(usize, u32)> =
        targets.iter().filter(|one| one.passed_over.is_none()).map(|one| (one.tier, one.weight)).collect();
    for one in targets.iter_mut().filter(|one| one.passed_over.is_none() && by_weight(one.strategy)) {
        let all: u32 = weights.iter().filter(|(tier, _)| *tier == one.tier).map(|(_, weight)| weight).sum();
        one.share_percent = (one.weight * 100 + all / 2).checked_div(all);
    }
}

fn price(facts: &Facts) -> Option<(String, String)> {
    let rates = facts.prices.tiers().first()?.rates;
    let dollars =
        |bucket| rates.of(bucket).map(|micros: u64| Money(micros.saturating_mul(1_000_000)).to_string());
    Some((dollars(Bucket::Input)?, dollars(Bucket::Output)?))
}

fn estimate(facts: &Facts, prompt: u64, limit: Option<u64>) -> Option<Estimate> {
    let usage = Usage { input: prompt, ..Usage::default() };
    let longest = limit.into_iter().chain(facts.max_output).min();
    let most = longest.and_then(|output| facts.prices.cost(&Usage { output, ..usage.clone() }));
    let prompt = facts.prices.cost(&usage)?.to_string();
    Some(Estimate { prompt, at_most: most.map(|money| money.to_string()) })
}

/// How a name was understood.
fn understood(plan: &Plan, model: &str) -> String {
    if plan.aliases.contains_key(model) {
        return "a name of the configuration".to_owned();
    }
    if let Some(stand_in) = plan.default_model.as_ref().filter(|_| model == DEFAULT) {
        return format!("the default model, `{stand_in}`");
    }
    if let Some(pattern) = plan.patterns.iter().find(|pattern| pattern.route(model).is_some()) {
        return format!("one of `{}*{}`", pattern.before, pattern.behind);
    }
    let provider = model.split_once('/').and_then(|(provider, _)| plan.provider(provider));
    let what =
        if provider.is_some() { "a provider and its model" } else { "a model of the default provider" };
    what.to_owned()
}

/// The request as a door would have received it.
fn inbound(question: &Question<'_>) -> Result<Inbound, Fault> {
    let (model, dialect) = (question.model, question.dialect);
    if model.len() > MODEL_NAME_MAX {
        return Err(Fault::bad("/model", "this is too long for the name of a model"));
    }
    let names_model = dialect.dialect().paths().names_model();
    let body = match &question.body {
        Some(body) if names_model => body.clone(),
        Some(body) => {
            let json = Bytes::from(serde_json::Value::from(model).to_string());
            let outline = Outline::read(body, &["model"])?;
            let is_same = outline.string("model").ok().flatten().is_some_and(|own| own == model);
            let edits = [Edit::Set { name: "model", json }];
            if is_same { body.clone() } else { outline.apply(&edits).concat().into() }
        }
        None => plain(dialect, model),
    };
    Ok(Inbound {
        id: String::new(),
        caller: question.caller,
        method: Method::POST,
        headers: HeaderMap::new(),
        body,
        more: false,
        field: None,
        named: names_model.then(|| Named { model: model.to_owned(), stream: false, list: false }),
        key: KeyChoice::Next,
        roll: 0,
        arrived: Instant::default(),
    })
}

/// A request without anything particular.
fn plain(dialect: DialectId, model: &str) -> Bytes {
    let mut request = Request::new(dialect, model);
    let blocks = vec![Block::new(Kind::Text("hello".to_owned()))];
    let (at, extra) = (At::default(), Extra::NONE);
    request.turns.push(Turn { role: Role::User, blocks, plain: true, at, name: None, extra });
    let target = Target { model, ..Target::default() };
    dialect.dialect().write_request(&request, &target).value.into()
}

impl Settings {
    fn of(plan: &Plan) -> Settings {
        let (failover, timeouts) = (plan.failover, plan.timeouts);
        let ms = |span: Span| span.0 / 1_000;
        Settings {
            attempts: plan.attempts,
            retries: failover.retries,
            race_ms: ms(failover.race),
            hedge: failover.hedge.map(|hedge| Hedged { after_ms: ms(hedge.after), percent: hedge.percent() }),
            streams: match failover.streams {
                Streams::Off => "off",
                Streams::Hold => "hold",
                Streams::Recover => "recover",
            },
            content_filter: failover.content_filter,
            strict: plan.strict,
            connect_ms: ms(timeouts.connect),
            first_byte_ms: ms(timeouts.first_byte),
            first_token_ms: ms(timeouts.first_token),
            idle_ms: ms(timeouts.idle),
            total_ms: ms(timeouts.total),
            body_max_bytes: plan.body_max,
        }
    }
}
