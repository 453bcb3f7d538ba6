//! Which providers are on, and how.

use super::{
    draft::{Draft, Path},
    environment::UPSTREAMS,
    file::{self, Endpoint},
    problem::Problem,
    read, tree,
    values::Names,
};
use crate::{
    cloud::Cloud,
    hint,
    limits::{KEYS_MAX, PROVIDERS_MAX},
    plan::{Plan, Provider, is_version},
    provider::{Auth, Provider as Row, compatible, of_dialect},
    providers::{self, PROVIDERS},
    secret::Secret,
    speech::{Speech, Spoken, spoken},
    surface,
};
use dialect::DialectId;
use http::{HeaderName, HeaderValue, Uri};
use std::collections::BTreeMap;

/// What the file says of one provider, and under which name.
pub(super) type Entry = (String, file::Provider);

impl Draft<'_> {
    pub(super) fn supply(
        &mut self,
        plan: &mut Plan,
        written: BTreeMap<String, file::Provider>,
        default: Option<Names>,
    ) {
        let (of_table, own): (Vec<Entry>, Vec<Entry>) =
            written.into_iter().partition(|(name, _)| providers::find(name).is_some());
        for row in PROVIDERS {
            let (mine, _): (Vec<&Entry>, Vec<_>) = of_table.iter().partition(|(name, _)| row.is_called(name));
            for (name, _) in mine.iter().skip(1) {
                let what = format!("provider `{}` stands here already under another name", row.name);
                self.wrong_name(&["providers", name], Problem::new(what));
            }
            plan.providers.extend(self.known(row, mine.first().copied()));
        }
        for (name, entry) in &own {
            plan.providers.extend(self.own(name, entry));
        }
        self.endpoints(plan);
        self.default_upstream(plan, default);
        if plan.providers.is_empty() && self.document.reported.is_empty() && self.problems.is_empty() {
            self.demo(plan, &of_table);
        }
        if plan.providers.len() > PROVIDERS_MAX {
            self.wrong(&["providers"], Problem::new(format!("{PROVIDERS_MAX} providers are the limit")));
        }
    }

    /// With nothing else on there is something to try.
    fn demo(&mut self, plan: &mut Plan, of_table: &[Entry]) {
        let refused = of_table.iter().any(|(name, entry)| name == "demo" && entry.enabled == Some(false));
        match providers::find("demo") {
            Some(row) if !refused => plan.providers.push(shape(row, &file::Provider::default(), row.base)),
            _ => self.note("no provider is on: nothing can be answered".to_owned()),
        }
    }

    /// A provider of the table, if anything switches it on.
    fn known(&mut self, row: &Row, entry: Option<&Entry>) -> Option<Provider> {
        if entry.is_some_and(|(_, entry)| entry.enabled == Some(false)) {
            return None;
        }
        if let Some(cloud) = row.cloud {
            return self.cloud(row, cloud, entry);
        }
        let name = entry.map(|(name, _)| name.as_str());
        let path = ["providers", name.unwrap_or(row.name)];
        let none = file::Provider::default();
        let said = entry.map_or(&none, |(_, entry)| entry);
        let (keys, given) = self.row_keys(row, said, &path);
        let base = self.environment.provider_base(row);
        let local = row.local && base.is_some();
        if entry.is_none() && keys.is_empty() && !local {
            if let (Some((variable, _)), Some(key)) = (&base, row.key_vars.first()) {
                self.note(format!("`{variable}` is set but `{key}` is not: provider `{}` is off", row.name));
            }
            return None;
        }
        if keys.is_empty() && !given && !row.local && !row.built_in && !self.is_reported(&path) {
            let variables = row.key_vars.join("` or `");
            let problem = Problem::new(format!("provider `{}` has no key", row.name));
            self.wrong(
                &path,
                problem.hint(format!("set `{variables}`, or `keys` here; `keys: []` where it wants none")),
            );
        }
        let base = match (&said.base_url, base, row.keyed_base) {
            (Some(text), ..) => self.base(&path, text)?,
            (None, Some((variable, text)), _) => self.variable_base(&variable, &text)?,
            (None, None, Some(base)) if !keys.is_empty() => base.to_owned(),
            (None, None, _) => self.fill_base(row, entry.is_some(), &path)?,
        };
        let provider = Provider { keys, ..shape(row, said, &base) };
        Some(self.finish_provider(&path, said, provider))
    }

    /// The keys of a provider of the table, and whether the file has given them: then an empty list means none.
    pub(super) fn row_keys(
        &mut self,
        row: &Row,
        said: &file::Provider,
        path: Path<'_>,
    ) -> (Vec<Secret>, bool) {
        if let Some(keys) = self.keys(path, said.keys.clone(), said.keys_file.clone()) {
            return (keys, true);
        }
        let keys = self.environment.provider_keys(row).unwrap_or_else(|(name, why)| {
            self.wrong_variable(&name, &why);
            Vec::new()
        });
        (keys, false)
    }

    /// An address from a variable.
    pub(super) fn variable_base(&mut self, variable: &str, text: &str) -> Option<String> {
        base_url(text).map_err(|why| self.wrong_variable(variable, why)).ok()
    }

    /// The base of a row, with the environment's variables put in.
    fn fill_base(&mut self, row: &Row, written: bool, path: Path<'_>) -> Option<String> {
        let Some((before, rest)) = row.base.split_once('{') else { return Some(row.base.to_owned()) };
        let (variable, behind) = rest.split_once('}')?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match self.environment.get(variable).filter(|value| value.chars().all(is_word)) {
            Some(value) => return Some(format!("{before}{value}{behind}")),
            None if written => {
                let problem = Problem::new(format!("provider `{}` needs `{variable}`", row.name));
                self.wrong(path, problem.hint("set that variable, or `base_url` here"));
            }
            None => self.note(format!("`{variable}` is not set: provider `{}` is off", row.name)),
        }
        None
    }

    /// A provider that the table does not know.
    fn own(&mut self, name: &str, entry: &file::Provider) -> Option<Provider> {
        if entry.enabled == Some(false) {
            return None;
        }
        let path = ["providers", name];
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(is_word) || name.starts_with('.') {
            let what = "the name of a provider is made of small letters, digits, `-`, `_` and `.`";
            self.wrong_name(&path, Problem::new(what));
            return None;
        }
        if surface::is_reserved(name) {
            let what = format!("`{name}` cannot be the name of a provider: it begins paths of the gateway");
            self.wrong_name(&path, Problem::new(what));
            return None;
        }
        let Some(base) = &entry.base_url else {
            if !self.is_reported(&["providers", name, "base_url"]) {
                let known =
                    PROVIDERS.iter().flat_map(|row| std::iter::once(row.name).chain(row.aka.iter().copied()));
                let problem =
                    Problem::new(format!("`{name}` is no provider that is known, and has no `base_url`"));
                let near = hint::nearest(name, known).map(|near| format!("did you mean `{near}`?"));
                self.wrong_name(&path, Problem { hint: near, ..problem });
            }
            return None;
        };
        let base = self.base(&path, base)?;
        let row = entry.dialect.map_or_else(compatible, |said| of_dialect(said.0));
        let keys = self.keys(&path, entry.keys.clone(), entry.keys_file.clone()).unwrap_or_default();
        let provider = Provider { name: name.to_owned(), keys, ..shape(&row, entry, &base) };
        Some(self.finish_provider(&path, entry, provider))
    }

    pub(super) fn base(&mut self, path: Path<'_>, text: &str) -> Option<String> {
        base_url(text)
            .map_err(|why| {
                let hint = "write it as its SDK would have it, such as `http://127.0.0.1:9000/v1`";
                self.wrong(&[path, &["base_url"]].concat(), Problem::new(why).hint(hint));
            })
            .ok()
    }

    /// What can be wrong with any provider.
    pub(super) fn finish_provider(
        &mut self,
        path: Path<'_>,
        said: &file::Provider,
        mut provider: Provider,
    ) -> Provider {
        for (name, value) in &said.headers {
            match header(name, value) {
                Ok(header) => provider.headers.push(header),
                Err(why) => self.wrong(&[path, &["headers", name]].concat(), Problem::new(why)),
            }
        }
        provider.facts = self.facts(path, &said.facts);
        for (member, text) in [("generate_path", &said.generate_path), ("models_path", &said.models_path)] {
            if text.as_ref().is_some_and(|text| !text.starts_with('/') || provider.address(text).is_none()) {
                self.wrong(
                    &[path, &[member]].concat(),
                    Problem::new("this is not a path: it must begin with `/`"),
                );
            }
        }
        let of_clouds =
            [("region", &said.region), ("project", &said.project), ("api_version", &said.api_version)];
        let cloud = providers::find(&provider.name).and_then(|row| row.cloud);
        let takes = cloud.map(Cloud::members).unwrap_or_default();
        for (member, _) in of_clouds.iter().filter(|(name, said)| said.is_some() && !takes.contains(name)) {
            let what = format!("`{}` takes no `{member}`", provider.name);
            self.wrong_name(&[path, &[member]].concat(), Problem::new(what));
        }
        if provider.keys.len() > KEYS_MAX {
            self.wrong(&[path, &["keys"]].concat(), Problem::new(format!("{KEYS_MAX} keys are the limit")));
        }
        if provider.auth == Auth::None && !provider.keys.is_empty() && !provider.built_in {
            self.wrong(
                &[path, &["auth"]].concat(),
                Problem::new("this provider has keys, and no way to send them"),
            );
        }
        provider
    }

    /// `CUSTOM_OPENAI_ENDPOINTS`: a JSON array of providers.
    fn endpoints(&mut self, plan: &mut Plan) {
        const NAME: &str = "CUSTOM_OPENAI_ENDPOINTS";
        let Some(text) = self.environment.get(NAME) else { return };
        let problem = |problem: Problem| Problem { file: NAME.to_owned(), ..problem };
        let tree = match tree::parse(&text) {
            Ok((tree, problems)) if problems.is_empty() && text.starts_with('[') => tree,
            Ok(_) => return self.wrong_variable(NAME, "this is not a JSON array of objects"),
            Err(error) => return self.problems.push(problem(error)),
        };
        let read = read::read::<Vec<Endpoint>>(&tree);
        if !read.problems.is_empty() {
            return self.problems.extend(read.problems.into_iter().map(problem));
        }
        for endpoint in read.value {
            let Some(name) = endpoint.name.clone() else {
                self.wrong_variable(NAME, "an endpoint has no `name`");
                continue;
            };
            if plan.provider(&name).is_some() {
                continue;
            }
            if providers::find(&name).is_some() {
                self.wrong_variable(NAME, "an endpoint has the name of a provider that is known");
                continue;
            }
            let before = self.document.problems.len();
            plan.providers.extend(self.own(&name, &endpoint.into()));
            for error in self.document.problems.split_off(before) {
                self.problems.push(Problem { line: 0, ..problem(error) });
            }
        }
    }

    fn default_upstream(&mut self, plan: &mut Plan, default: Option<Names>) {
        let mut chosen = Vec::new();
        match default {
            Some(Names(names)) => {
                for name in &names {
                    match plan.provider(name) {
                        Some(index) => chosen.push(index),
                        None if self.is_reported(&["providers"]) => {}
                        None => {
                            let near = hint::nearest(name, plan.providers.iter().map(|p| p.name.as_str()));
                            let hint = near.map(|near| format!("did you mean `{near}`?"));
                            let shown = self.quote(&["default_provider"], name);
                            let problem = Problem::new(format!("no provider {shown} is on"));
                            self.wrong(&["default_provider"], Problem { hint, ..problem });
                        }
                    }
                }
            }
            None => self.upstreams(plan, &mut chosen),
        }
        plan.default_upstream = chosen.first().copied();
        plan.spare_upstreams = chosen.split_off(chosen.len().min(1));
    }

    /// `LLM_UPSTREAMS`, `LLM_UPSTREAM` or `LITELLM_URL`: providers named `upstream`, `upstream-2`, …
    fn upstreams(&mut self, plan: &mut Plan, chosen: &mut Vec<usize>) {
        let set: Vec<&str> =
            UPSTREAMS.iter().copied().filter(|name| !self.environment.list(name).is_empty()).collect();
        let Some((variable, ignored)) = set.split_first() else { return };
        for name in ignored {
            self.note(format!("`{name}` has no effect, `{variable}` counts"));
        }
        for text in self.environment.list(variable) {
            let Ok(base) = base_url(&text) else {
                self.wrong_variable(variable, "this is not an http or https address");
                continue;
            };
            let mut number = 1;
            let mut name = "upstream".to_owned();
            while plan.provider(&name).is_some() {
                number += 1;
                name = format!("upstream-{number}");
            }
            let versioned = base.rsplit('/').next().is_some_and(is_version);
            let base = if versioned { base } else { format!("{base}/v1") };
            chosen.push(plan.providers.len());
            let row = Row { auth: Auth::None, ..compatible() };
            plan.providers.push(Provider { name, ..shape(&row, &file::Provider::default(), &base) });
        }
    }
}

/// The provider that a row and an entry make together, without what can be wrong with it.
pub(super) fn shape(row: &Row, said: &file::Provider, base: &str) -> Provider {
    let dialect = said.dialect.map(|said| said.0);
    let other = dialect.filter(|dialect| row.speaks.iter().all(|spoken| spoken.dialect != *dialect));
    let other = other.map(of_dialect);
    let like = other.as_ref().unwrap_or(row);
    let auth = said.auth.map_or(like.auth, Auth::from);
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let texts = |names: &Option<Names>| names.clone().unwrap_or_default().0;
    let listed = if row.built_in { vec![row.name.to_owned()] } else { texts(&said.models) };
    let path = said.models_path.clone().or_else(|| like.models.map(|(path, _)| path.to_owned()));
    let list_shape = said.models_shape.map(Into::into).or_else(|| like.models.map(|(_, shape)| shape));
    let mut renames: Vec<(String, String)> = said.renames.clone().into_iter().collect();
    renames.extend(like.renames.iter().map(|(ours, its)| ((*ours).to_owned(), (*its).to_owned())));
    Provider {
        name: row.name.to_owned(),
        aka: list(row.aka),
        speaks: speeches(like, said, dialect, auth),
        base: base.to_owned(),
        auth,
        keys: Vec::new(),
        signer: None,
        headers: Vec::new(),
        default_headers: like.headers.iter().filter_map(|(name, value)| header(name, value).ok()).collect(),
        embeds: like.embeds.map(|(shape, path)| (shape, path.to_owned())),
        models: path.zip(list_shape.or(Some(crate::provider::ModelList::Openai))),
        listed,
        facts: BTreeMap::new(),
        drops: said.drops.as_ref().map_or_else(|| list(like.drops), |names| names.0.clone()),
        renames,
        quirks: like.quirks,
        hosts: like.hosts,
        built_in: row.built_in,
        memo: crate::plan::Memo::default(),
    }
}

/// The dialects that a provider speaks. Who says which dialect, or where, says all of it.
fn speeches(row: &Row, said: &file::Provider, dialect: Option<DialectId>, auth: Auth) -> Vec<Speech> {
    let new = |spoken: &Spoken| {
        let spoken = Spoken { auth: spoken.auth.filter(|_| said.auth.is_none()), ..*spoken };
        Speech::new(&spoken, auth, said.generate_path.clone())
    };
    if dialect.is_none() && said.generate_path.is_none() {
        return row.speaks.iter().map(new).collect();
    }
    let first = row.speaks.first().map_or(DialectId::OpenaiChat, |spoken| spoken.dialect);
    let dialect = dialect.unwrap_or(first);
    let known = row.speaks.iter().find(|spoken| spoken.dialect == dialect);
    vec![known.map_or_else(|| new(&spoken(dialect)), new)]
}

/// An address that a path can be put behind, without a slash at its end.
fn base_url(text: &str) -> Result<String, &'static str> {
    let base = text.trim().trim_end_matches('/');
    let uri: Uri = base.parse().map_err(|_| "this is not an http or https address")?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Err("this address must not hold a user or password")
        }
        (Some("http" | "https"), Some(_)) if uri.query().is_some() || base.contains('#') => {
            Err("this address must not have a query")
        }
        (Some("http" | "https"), Some(_)) => Ok(base.to_owned()),
        _ => Err("this is not an http or https address"),
    }
}

/// A header that may be set. Its value is marked as one that must not be printed.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    const OURS: &[&str] = &["connection", "content-length", "host", "te", "transfer-encoding", "upgrade"];
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "this is not the name of a header")?;
    if OURS.contains(&name.as_str()) {
        return Err("this header is the gateway's own");
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| "this cannot stand in a header")?;
    value.set_sensitive(true);
    Ok((name, value))
}
