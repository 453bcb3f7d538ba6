//! Every row of the table has a case file, `cases/provider/NAME.txt`, which shows what the row makes of a
//! chat, a list of models and a pass-through. `UPDATE_EXPECT=1` writes it.

use super::plan;
use crate::{
    plan::Provider,
    provider::{Operation, Provider as Row},
    providers::{PROVIDERS, find},
    secret::Secret,
    surface::is_reserved,
};
use dialect::DialectId::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};
use http::Uri;
use std::{collections::HashSet, fmt::Write, fs, path::PathBuf};

#[test]
fn every_row_has_its_case() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../cases/provider");
    let mut wrong = Vec::new();
    for row in PROVIDERS {
        let path = folder.join(format!("{}.txt", row.name));
        let found = show(row);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(&folder).expect("a folder");
            fs::write(&path, &found).expect("a case can be written");
        }
        match fs::read_to_string(&path) {
            Ok(expected) if expected == found => {}
            Ok(expected) => wrong.push(format!("{}:\nexpected:\n{expected}\nfound:\n{found}", row.name)),
            Err(_) => wrong.push(format!(
                "provider `{}` has no case: run `UPDATE_EXPECT=1 cargo test -p engine every_row`, look at \
                 cases/provider/{0}.txt and commit it",
                row.name
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    for entry in fs::read_dir(&folder).expect("cases/provider is there") {
        let name = entry.expect("an entry").path();
        let name = name.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(find(&name).is_some_and(|row| row.name == name), "cases/provider/{name}.txt has no row");
    }
}

/// What a row says and does.
fn show(row: &Row) -> String {
    let mut text = format!("{}\n", row.name);
    let mut put = |name: &str, words: Vec<String>| {
        if !words.is_empty() {
            let _ = writeln!(text, "{name}: {}", words.join(", "));
        }
    };
    put("also called", row.aka.iter().map(|name| (*name).to_owned()).collect());
    put("key from", row.key_vars.iter().map(|name| (*name).to_owned()).collect());
    put("address from", row.base_variables());
    put("drops", row.drops.iter().map(|name| (*name).to_owned()).collect());
    put("renames", row.renames.iter().map(|(ours, its)| format!("{ours} to {its}")).collect());
    put("quirks", row.quirks.iter().map(|quirk| format!("{quirk:?}")).collect());
    let provider = switched_on(row);
    if provider.built_in {
        return text + "built in\n";
    }
    for speech in &provider.speaks {
        let url = |stream| provider.url(Operation::Generate, speech, "MODEL", stream);
        text.push_str(&request(speech.dialect.name(), "POST", url(false), &provider));
        if url(true) != url(false) {
            let what = format!("{}, streamed", speech.dialect.name());
            text.push_str(&request(&what, "POST", url(true), &provider));
        }
    }
    if let Some((shape, _)) = &provider.embeds {
        let what = format!("embeddings ({})", shape.name());
        text.push_str(&request(&what, "POST", provider.embed_url("MODEL", false), &provider));
    }
    if let Some((_, shape)) = &provider.models {
        let what = format!("models ({shape:?})");
        text.push_str(&request(&what, "GET", provider.models_url(), &provider));
    }
    let what = format!("pass-through of /{}/v1/files?limit=1", row.name);
    text.push_str(&request(&what, "GET", provider.address("/v1/files?limit=1"), &provider));
    text
}

/// The provider as it is when its first key variable (or, for a local one, its address) is set.
fn switched_on(row: &Row) -> Provider {
    let base = row.base_variables().into_iter().next().unwrap_or_default();
    let environment = match row.key_vars.first() {
        Some(key) if !row.local => vec![
            (*key, "KEY"),
            ("AWS_REGION", "REGION"),
            ("AZURE_OPENAI_RESOURCE_NAME", "RESOURCE"),
            ("CLOUDFLARE_ACCOUNT_ID", "ACCOUNT"),
        ],
        _ => vec![(base.as_str(), row.base)],
    };
    let mut plan = plan(&environment, "");
    let index = plan.provider(row.name).unwrap_or_else(|| panic!("`{}` is not on", row.name));
    plan.providers.swap_remove(index)
}

fn request(what: &str, method: &str, url: Option<Uri>, provider: &Provider) -> String {
    let url = url.unwrap_or_else(|| panic!("`{}` has no address for {what}", provider.name));
    let mut text = format!("\n{what}\n{method} {url}\n");
    let key = provider.keys.first().cloned().unwrap_or_else(|| Secret::new("KEY"));
    let keyed = provider.auth_at(url.path()).header(&key).filter(|_| !provider.keys.is_empty());
    for (name, value) in keyed.iter().chain(&provider.headers).chain(&provider.default_headers) {
        let _ = writeln!(text, "{name}: {}", value.to_str().expect("a header's text"));
    }
    text
}

#[test]
fn the_table_is_sorted_and_every_name_means_one_provider() {
    let names: Vec<&str> = PROVIDERS.iter().map(|row| row.name).collect();
    assert!(names.is_sorted(), "the rows are not sorted by name");
    let mut seen = HashSet::new();
    for name in PROVIDERS.iter().flat_map(|row| std::iter::once(&row.name).chain(row.aka)) {
        assert!(seen.insert(*name), "`{name}` stands twice");
        assert!(!is_reserved(name), "`{name}` begins a path of the gateway");
    }
    let mut seen = HashSet::new();
    for variable in PROVIDERS.iter().flat_map(Row::base_variables) {
        assert!(seen.insert(variable.clone()), "`{variable}` belongs to two providers");
    }
    for variable in PROVIDERS.iter().flat_map(|row| row.key_vars) {
        assert!(seen.insert((*variable).to_owned()), "`{variable}` belongs to two providers");
    }
}

#[test]
fn rows_are_well_formed() {
    for row in PROVIDERS {
        assert!(!row.base.ends_with('/'), "{}", row.name);
        assert!(!row.speaks.is_empty(), "{}", row.name);
        assert!(row.local || row.built_in || !row.key_vars.is_empty(), "{} has no key variable", row.name);
        let scheme = if row.local || row.built_in { "http://" } else { "https://" };
        assert!(row.base.starts_with(scheme), "{}", row.name);
    }
}

#[test]
fn an_address_takes_the_place_of_the_base_as_in_the_sdks() {
    #[rustfmt::skip]
    let table = [
        (OpenaiChat, "OPENAI_API_KEY", "OPENAI_BASE_URL", "http://127.0.0.1:9000/v1", "openai", "http://127.0.0.1:9000/v1/chat/completions"),
        (OpenaiChat, "OPENAI_API_KEY", "OPENAI_API_BASE", "http://127.0.0.1:9000/v1/", "openai", "http://127.0.0.1:9000/v1/chat/completions"),
        (Anthropic, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "http://127.0.0.1:9000", "anthropic", "http://127.0.0.1:9000/v1/messages"),
        (Anthropic, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "http://127.0.0.1:9000/v1", "anthropic", "http://127.0.0.1:9000/v1/messages"),
        (Anthropic, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "http://h/anthropic", "anthropic", "http://h/anthropic/v1/messages"),
        (OpenaiChat, "GEMINI_API_KEY", "GEMINI_BASE_URL", "http://127.0.0.1:9000", "gemini", "http://127.0.0.1:9000/v1beta/openai/chat/completions"),
        (OpenaiChat, "GOOGLE_API_KEY", "GOOGLE_AI_STUDIO_BASE_URL", "http://h/v1beta/openai", "google", "http://h/v1beta/openai/chat/completions"),
        (OpenaiChat, "XAI_API_KEY", "XAI_BASE_URL", "http://h/v1", "grok", "http://h/v1/chat/completions"),
        (OpenaiChat, "DEEPSEEK_API_KEY", "DEEPSEEK_BASE_URL", "http://h", "deepseek", "http://h/chat/completions"),
        (Gemini, "GEMINI_API_KEY", "GEMINI_BASE_URL", "http://h", "gemini", "http://h/v1beta/models/m:generateContent"),
    ];
    for (dialect, key, variable, base, name, expected) in table {
        let plan = plan(&[(key, "KEY"), (variable, base)], "");
        let provider = &plan.providers[plan.provider(name).expect(name)];
        let speech = provider.speech(dialect, "m").expect("a dialect");
        let url = provider.url(Operation::Generate, speech, "m", false).expect("an address");
        assert_eq!(url.to_string(), expected);
    }
}

type Variables<'a> = &'a [(&'a str, &'a str)];

#[test]
fn clouds_put_their_place_into_every_path() {
    let azure = [("AZURE_API_KEY", "KEY"), ("AZURE_API_BASE", "https://openai-r.openai.azure.com/openai/")];
    let classic = [azure[0], azure[1], ("OPENAI_API_VERSION", "2024-10-21")];
    let preview = [azure[0], azure[1], ("AZURE_API_VERSION", "preview")];
    let vertex =
        [("VERTEX_API_KEY", "KEY"), ("VERTEX_BASE_URL", "http://h/v1"), ("GOOGLE_CLOUD_PROJECT", "p")];
    let global = "providers: {vertex: {project: p}}";
    let local = "providers: {vertex: {project: p, region: us-east5, base_url: 'https://us-east5-aiplatform.googleapis.com'}}";
    let bedrock = [("AWS_BEARER_TOKEN_BEDROCK", "KEY"), ("AWS_REGION_NAME", "us-west-2")];
    let place = "/projects/p/locations/global/";
    #[rustfmt::skip]
    let table: &[(Variables<'_>, &str, &str, _, &str, &str)] = &[
        (&azure, "", "azure-openai", OpenaiChat, "d", "https://openai-r.openai.azure.com/openai/v1/chat/completions"),
        (&preview, "", "azure", OpenaiResponses, "d", "https://openai-r.openai.azure.com/openai/v1/responses"),
        (&classic, "", "azure", OpenaiChat, "my d", "https://openai-r.openai.azure.com/openai/deployments/my%20d/chat/completions?api-version=2024-10-21"),
        (&classic, "", "azure", OpenaiResponses, "d", "https://openai-r.openai.azure.com/openai/responses?api-version=2024-10-21"),
        (&azure, "providers: {azure: {api_version: 2025-01-01}}", "azure", OpenaiChat, "d", "https://openai-r.openai.azure.com/openai/deployments/d/chat/completions?api-version=2025-01-01"),
        (&vertex, "", "vertex", Gemini, "gemini-x", "http://h/v1beta1/publishers/google/models/gemini-x:generateContent"),
        (&vertex, global, "vertex_ai", Anthropic, "gemini-x", &format!("http://h/v1beta1{place}publishers/google/models/gemini-x:generateContent")),
        (&vertex, global, "vertex", Gemini, "claude-x@1", &format!("http://h/v1{place}publishers/anthropic/models/claude-x@1:rawPredict")),
        (&vertex, global, "vertex", Gemini, "meta/llama", &format!("http://h/v1{place}endpoints/openapi/chat/completions")),
        (&vertex[..1], local, "vertex", Gemini, "gemini-x", "https://us-east5-aiplatform.googleapis.com/v1beta1/projects/p/locations/us-east5/publishers/google/models/gemini-x:generateContent"),
        (&bedrock, "", "bedrock", Anthropic, "us.amazon.nova-v1:0", "https://bedrock-runtime.us-west-2.amazonaws.com/model/us.amazon.nova-v1%3A0/converse"),
        (&bedrock, "", "aws-bedrock", OpenaiChat, "arn:aws:x/y", "https://bedrock-runtime.us-west-2.amazonaws.com/model/arn%3Aaws%3Ax%2Fy/converse"),
    ];
    for (environment, text, name, dialect, model, expected) in table {
        let plan = plan(environment, text);
        let provider = &plan.providers[plan.provider(name).expect(name)];
        let speech = provider.speech(*dialect, model).expect("a dialect");
        let url = provider.url(Operation::Generate, speech, model, false).expect("an address");
        assert_eq!(url.to_string(), *expected);
    }
}

#[test]
fn embeddings_are_where_the_provider_has_them() {
    let azure = [("AZURE_API_KEY", "KEY"), ("AZURE_API_BASE", "https://r.openai.azure.com")];
    let classic = [azure[0], azure[1], ("OPENAI_API_VERSION", "2024-10-21")];
    let vertex = [("VERTEX_API_KEY", "KEY"), ("VERTEX_BASE_URL", "http://h/v1")];
    let google = [("GEMINI_API_KEY", "KEY"), ("GEMINI_BASE_URL", "http://h/v1beta")];
    let own = |dialect: &str| format!("providers: {{own: {{base_url: 'http://h/v1'{dialect}, keys: k}}}}");
    let said = |dialect: &str| own(&format!(", dialect: {dialect}"));
    #[rustfmt::skip]
    let table: &[(Variables<'_>, &str, &str, bool, Option<&str>)] = &[
        (&azure, "", "azure", true, Some("https://r.openai.azure.com/openai/v1/embeddings")),
        (&classic, "", "azure", false, Some("https://r.openai.azure.com/openai/deployments/a%20b/embeddings?api-version=2024-10-21")),
        (&vertex, "", "vertex", true, Some("http://h/v1/publishers/google/models/a%20b:predict")),
        (&vertex, "providers: {vertex: {project: p, region: r}}", "vertex", false, Some("http://h/v1/projects/p/locations/r/publishers/google/models/a%20b:predict")),
        (&google, "", "gemini", false, Some("http://h/v1beta/models/a%20b:batchEmbedContents")),
        (&google, "", "gemini", true, Some("http://h/v1beta/models/a%20b:embedContent")),
        (&[("LLM_UPSTREAM", "http://h")], "", "upstream", false, Some("http://h/v1/embeddings")),
        (&[], &own(""), "own", false, Some("http://h/v1/embeddings")),
        (&[], &said("openai_responses"), "own", false, Some("http://h/v1/embeddings")),
        (&[], &said("cohere"), "own", false, Some("http://h/v1/v2/embed")),
        (&[], &said("bedrock"), "own", false, Some("http://h/v1/model/a%20b/invoke")),
        (&[], &said("anthropic"), "own", false, None),
        (&[], &said("replicate"), "own", false, None),
        (&[("PERPLEXITY_API_KEY", "KEY")], "", "perplexity", false, None),
    ];
    for (environment, text, name, one, expected) in table {
        let plan = plan(environment, text);
        let provider = &plan.providers[plan.provider(name).expect(name)];
        let url = provider.embed_url("a b", *one).map(|url| url.to_string());
        assert_eq!(url.as_deref(), *expected, "{name} {text}");
    }
}

#[test]
fn what_base_and_path_both_say_stands_once() {
    #[rustfmt::skip]
    let table = [
        ("https://h/v1", "/v1/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1", "/chat/completions", "https://h/v1/chat/completions"),
        ("https://h/v1", "/v1", "https://h/v1"),
        ("https://h/v1", "/v1?a=/v1", "https://h/v1?a=/v1"),
        ("https://h/v1", "/v1beta/x", "https://h/v1/v1beta/x"),
        ("https://h/v1", "/v10/x", "https://h/v1/v10/x"),
        ("https://h", "/v1/messages", "https://h/v1/messages"),
        ("https://h/openai/v1", "/openai/v1/models", "https://h/openai/v1/models"),
        ("https://h/openai/v1", "/v1/models", "https://h/openai/v1/models"),
        ("https://h/openai/v1", "/openai/models", "https://h/openai/v1/openai/models"),
        ("https://h/v1beta/openai", "/v1beta/openai/x", "https://h/v1beta/openai/x"),
        ("https://h/models", "/models/x", "https://h/models/models/x"),
        ("https://h/api/v1", "/v1/v1/x", "https://h/api/v1/v1/x"),
        ("https://h/av1", "/v1/x", "https://h/av1/v1/x"),
        ("https://h/v1", "/", "https://h/v1/"),
    ];
    for (base, path, expected) in table {
        let text = format!("providers: {{mine: {{base_url: '{base}'}}}}");
        let plan = plan(&[], &text);
        let url = plan.providers[0].address(path).expect("an address");
        // The root path is written out by the type.
        assert_eq!(url.to_string(), expected, "{base} {path}");
    }
}
