//! Who may call.

use super::{
    draft::Draft,
    environment::CLIENT_KEYS,
    problem::{Note, Problem},
    values::Keys,
};
use crate::{limits::CLIENT_KEY_MIN, plan::Access, secret::Secret};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;

/// How to make a key that is good.
const MAKE_ONE: &str = "make a good one with `openssl rand -hex 24`";

impl Draft<'_> {
    pub(super) fn access(
        &mut self,
        keys: Option<Keys>,
        keys_file: Option<String>,
        listen: SocketAddr,
    ) -> Access {
        let broken = self.is_reported(&["keys"]) || self.is_reported(&["keys_file"]);
        let found = match self.keys(&[], keys, keys_file) {
            Some(keys) => vec![("keys", keys)],
            None => self.keys_of_environment(),
        };
        if found.iter().all(|(_, keys)| keys.is_empty()) && !broken {
            self.check_open(listen);
        }
        for (setting, keys) in &found {
            if let Some(why) = keys.iter().find_map(weakness) {
                self.weak_key(setting, why, listen);
            }
        }
        let mut hashes: Vec<[u8; 32]> = Vec::new();
        for key in found.iter().flat_map(|(_, keys)| keys) {
            let hash = Sha256::digest(key.expose().as_bytes()).into();
            if !hashes.contains(&hash) {
                hashes.push(hash);
            }
        }
        Access { keys: hashes }
    }

    fn keys_of_environment(&mut self) -> Vec<(&'static str, Vec<Secret>)> {
        let mut found = Vec::new();
        for name in CLIENT_KEYS {
            match self.environment.keys(name) {
                Ok(Some(keys)) => found.push((*name, keys)),
                Ok(None) => {}
                Err((name, why)) => self.wrong_variable(&name, &why),
            }
        }
        found
    }

    fn check_open(&mut self, listen: SocketAddr) {
        if listen.ip().is_loopback() {
            return;
        }
        if self.overrides.allow_open {
            let message = format!("everybody who reaches {listen} may use your providers (`--allow-open`)");
            self.notes.push(Note { warning: true, message });
            return;
        }
        let hint = format!("set `keys` or `SEKISHO_KEYS`, {MAKE_ONE}; `--allow-open` serves everybody");
        self.of_listen(
            Problem::new(format!("{listen} is not the loopback, and no client keys are set")).hint(hint),
        );
    }

    fn weak_key(&mut self, setting: &'static str, why: &str, listen: SocketAddr) {
        let message = format!("a client key in `{setting}` {why}");
        if listen.ip().is_loopback() {
            return self.note(format!("{message}; beyond the loopback it would be refused"));
        }
        if self.overrides.allow_open {
            return self.notes.push(Note { warning: true, message: format!("{message} (`--allow-open`)") });
        }
        let problem = Problem::new(message).hint(MAKE_ONE);
        match setting {
            "keys" => self.wrong(&["keys"], problem),
            _ => self.problems.push(Problem { file: "environment".to_owned(), ..problem }),
        }
    }

    /// Puts a problem where the address was set.
    fn of_listen(&mut self, problem: Problem) {
        let in_file = self.document.tree.find(&["listen"]).is_some();
        match &self.overrides.listen {
            Some(_) => self.problems.push(Problem { file: "command line".to_owned(), ..problem }),
            None if in_file => self.wrong(&["listen"], problem),
            None => self.problems.push(Problem { file: "environment".to_owned(), ..problem }),
        }
    }
}

/// Why a client key is none, if it is none.
fn weakness(key: &Secret) -> Option<&'static str> {
    /// Keys that stand in documentation, in lower case.
    const KNOWN: &[&str] = &[
        "your-api-key-here",
        "your_api_key_here",
        "your-secret-key-here",
        "replace-with-a-real-key",
        "sk-1234567890abcdef",
    ];
    let text = key.expose();
    let mut letters: Vec<char> = text.chars().collect();
    letters.sort_unstable();
    letters.dedup();
    if KNOWN.contains(&text.to_lowercase().as_str()) || letters.len() < 6 {
        return Some("is one that everybody knows");
    }
    (text.chars().count() < CLIENT_KEY_MIN).then_some("has fewer than 16 characters")
}
