//! Clouds: which are on, where they live and where their credentials come from.

mod azure;
mod bedrock;
mod vertex;

use super::{
    draft::{Draft, Path},
    environment::{CLOUDS, Environment},
    file,
    problem::Problem,
    supply::{self, Entry},
};
use crate::{
    cloud::{Cloud, Signer},
    plan::Provider,
    provider::Provider as Row,
    speech::{Spoken, place},
};
use http::{HeaderName, HeaderValue, Uri};
use std::{collections::HashMap, sync::Arc};

/// What the environment says of clouds. All of it is read, so that it is plain what can be said.
struct Facts(HashMap<&'static str, String>);

/// What is known when a cloud's address and credentials are looked for.
struct Question<'a> {
    facts: &'a Facts,
    said: &'a file::Provider,
    /// The file names this provider, so that credentials are looked for where they only may be.
    written: bool,
    /// It has a plain key.
    keyed: bool,
    /// Where it lives, if anybody said so.
    base: Option<String>,
    read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

/// Where a cloud lives.
struct Place {
    base: String,
    speaks: &'static [Spoken],
    /// What lies between the version and the models in its paths.
    inner: String,
    models: Option<String>,
    /// Path of its embeddings, where that is not the row's.
    embeds: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why a cloud cannot be on.
enum Trouble {
    /// This variable must be set, or this member of the file.
    Missing(&'static str, &'static str),
    /// This variable is wrong.
    Wrong(&'static str, String),
    /// This member of the file is wrong.
    Member(&'static str, &'static str),
}

impl Facts {
    fn read(environment: &Environment<'_>) -> Facts {
        Facts(CLOUDS.iter().filter_map(|(name, _)| Some((*name, environment.get(name)?))).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The first that is set.
    fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// A path below the home folder.
    fn home(&self, path: &str) -> Option<String> {
        self.get("HOME").map(|home| format!("{home}/{path}"))
    }

    /// An address from a variable, less a slash at its end, with `path` behind it. A host alone is meant
    /// with `scheme`.
    fn address(
        &self,
        variable: &'static str,
        scheme: &str,
        default: &str,
        path: &str,
    ) -> Result<Uri, Trouble> {
        let base = self.get(variable).unwrap_or(default).trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("{scheme}{base}") };
        uri(variable, &format!("{base}{path}"))
    }
}

/// An http or https address.
fn uri(variable: &'static str, text: &str) -> Result<Uri, Trouble> {
    let wrong = || Trouble::Wrong(variable, "this is not an http or https address".to_owned());
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some();
    if is_http { Ok(uri) } else { Err(wrong()) }
}

/// It can stand in a host's name, or as a segment of a path.
fn is_word(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    !text.is_empty() && text.chars().all(is_fine) && !text.starts_with('.')
}

/// It can stand in a host's name.
fn is_label(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

impl Draft<'_> {
    /// A cloud, if anything switches it on: a key, credentials in the environment, or the file.
    pub(super) fn cloud(&mut self, row: &Row, cloud: Cloud, entry: Option<&Entry>) -> Option<Provider> {
        let none = file::Provider::default();
        let said = entry.map_or(&none, |(_, said)| said);
        let path = ["providers", entry.map_or(row.name, |(name, _)| name)];
        let (keys, given) = self.row_keys(row, said, &path);
        let (base, variable) = match (&said.base_url, self.environment.provider_base(row)) {
            (Some(text), _) => (Some(self.base(&path, text)?), None),
            (None, Some((variable, text))) => (Some(self.variable_base(&variable, &text)?), Some(variable)),
            (None, None) => (None, None),
        };
        let facts = Facts::read(&self.environment);
        let read_file = self.world.read_file;
        let (written, keyed) = (entry.is_some(), !keys.is_empty());
        let question = Question { facts: &facts, said, written, keyed, base, read_file };
        let signer = match given || keyed {
            true => None,
            false => {
                question.signer(cloud).map_err(|trouble| self.trouble(row, &path, &trouble, written)).ok()?
            }
        };
        if signer.is_none() && !keyed && !given {
            self.off(row, variable, written, &path);
            return None;
        }
        let found = question.place(cloud, row);
        let place = found.map_err(|trouble| self.trouble(row, &path, &trouble, written)).ok()?;
        let row = Row { speaks: place.speaks, ..row.clone() };
        let provider =
            Provider { keys, signer: signer.map(Arc::new), ..supply::shape(&row, said, &place.base) };
        Some(self.finish_provider(&path, said, place.put_in(provider)))
    }

    /// Nothing proves who we are.
    fn off(&mut self, row: &Row, variable: Option<String>, written: bool, path: Path<'_>) {
        let Some((key, cloud)) = row.key_vars.first().zip(row.cloud) else { return };
        if written && !self.is_reported(path) {
            let problem = Problem::new(format!("provider `{}` has no key and no credentials", row.name));
            let others = cloud.switches().join("`, `");
            let hint = format!("set `{key}`, or one of `{others}`; `keys: []` where it wants none");
            self.wrong(path, problem.hint(hint));
        } else if let Some(variable) = variable {
            self.note(format!("`{variable}` is set but `{key}` is not: provider `{}` is off", row.name));
        }
    }

    fn trouble(&mut self, row: &Row, path: Path<'_>, trouble: &Trouble, written: bool) {
        match trouble {
            Trouble::Wrong(variable, why) => self.wrong_variable(variable, why),
            Trouble::Member(member, why) => self.wrong(&[path, &[member]].concat(), Problem::new(*why)),
            Trouble::Missing(variable, member) if written => {
                let problem = Problem::new(format!("provider `{}` needs `{variable}`", row.name));
                self.wrong(path, problem.hint(format!("set that variable, or `{member}` here")));
            }
            Trouble::Missing(variable, _) => {
                self.note(format!("`{variable}` is not set: provider `{}` is off", row.name));
            }
        }
    }
}

impl Question<'_> {
    fn signer(&self, cloud: Cloud) -> Result<Option<Signer>, Trouble> {
        match cloud {
            Cloud::Azure => self.azure_signer(),
            Cloud::Bedrock => self.bedrock_signer(),
            Cloud::Vertex => self.vertex_signer(),
        }
    }

    fn place(&self, cloud: Cloud, row: &Row) -> Result<Place, Trouble> {
        let place = match cloud {
            Cloud::Azure => self.azure_place(row),
            Cloud::Bedrock => self.bedrock_place(row),
            Cloud::Vertex => self.vertex_place(row),
        }?;
        let models = place.models.or_else(|| row.models.map(|(path, _)| path.to_owned()));
        Ok(Place { models, ..place })
    }
}

impl Place {
    fn at(base: String, speaks: &'static [Spoken], inner: &str) -> Place {
        Place { base, speaks, inner: inner.to_owned(), models: None, embeds: None, headers: Vec::new() }
    }

    /// The provider with its paths complete.
    fn put_in(self, mut provider: Provider) -> Provider {
        provider.speaks.iter_mut().for_each(|speech| speech.place(&self.inner));
        provider.default_headers.extend(self.headers);
        let models = self.models.map(|path| place(&path, &self.inner));
        if let (Some((path, _)), Some(models)) = (&mut provider.models, models) {
            *path = models;
        }
        if let Some((_, path)) = &mut provider.embeds {
            *path = place(self.embeds.unwrap_or(path), &self.inner);
        }
        provider
    }
}
