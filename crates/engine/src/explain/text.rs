//! An explanation in words.

use super::{Asked, Explained, Explanation, Hedged, Limit, Limited, Settings};
use std::fmt::{self, Write};

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self))
    }
}

fn text(explained: &Explained) -> String {
    let mut text = String::new();
    let _ =
        writeln!(text, "{}: {}, asked in {}", explained.model, explained.understood_as, explained.dialect);
    if let Some(wanted) = &explained.request {
        let _ = write!(text, "the request: about {} tokens of prompt", wanted.prompt_tokens);
        if let Some(limit) = wanted.answer_tokens {
            let _ = write!(text, ", {limit} of answer at most");
        }
        let needs = wanted.abilities.join(", ");
        let _ =
            writeln!(text, "{}", if needs.is_empty() { String::new() } else { format!(", needs {needs}") });
    }
    if explained.conversation {
        let _ = writeln!(text, "it is part of a conversation, which chooses its targets");
    }
    if let Some((to, percent)) = &explained.mirror {
        let _ =
            writeln!(text, "{percent} % of the requests go to {to} as well, and nobody gets those answers");
    }
    if let Some(limited) = &explained.limited {
        put_limited(&mut text, limited);
    }
    let mut group = String::new();
    for target in &explained.targets {
        let own = heading(target);
        if own != group {
            let _ = writeln!(text, "\n{own}");
            group = own;
        }
        put_target(&mut text, target);
    }
    put_settings(&mut text, &explained.failover, explained.targets.len());
    text
}

fn put_limited(text: &mut String, limited: &Limited) {
    let requests =
        limited.requests.map(|most| format!("{most} at once for all requests, those that wait included"));
    let all: Vec<String> = limited.limits.iter().map(Limit::to_string).chain(requests).collect();
    if !all.is_empty() {
        let _ = writeln!(text, "limits: {}", all.join("; "));
    }
    let _ = match &limited.queue {
        Some(queue) => writeln!(
            text,
            "held up by a limit, it waits with priority `{}`, {} at most, among {} at most",
            queue.priority,
            length(queue.wait_ms),
            queue.size
        ),
        None => writeln!(text, "held up by a limit, it gets a 429"),
    };
}

/// What the targets of one tier have in common.
fn heading(target: &Explanation) -> String {
    if target.passed_over.is_some() {
        return "not asked".to_owned();
    }
    let when = match target.when {
        "always" => String::new(),
        when => format!(" after: {when}"),
    };
    let of = if target.of.is_empty() { String::new() } else { format!(", of `{}`", target.of) };
    format!("tier {}{when}: {}{of}", target.tier, target.strategy)
}

fn put_target(text: &mut String, target: &Explanation) {
    let _ = write!(text, "  {}", target.target);
    if let Some(share) = target.share_percent {
        let _ = write!(text, "  ({share} %)");
    } else if target.weight != 1 {
        let _ = write!(text, "  (weight {})", target.weight);
    }
    text.push('\n');
    let mut put = |line: String| {
        let _ = writeln!(text, "    {line}");
    };
    if let Some(why) = &target.passed_over {
        put(format!("passed over: {why}"));
    }
    if let Some(why) = &target.doubtful {
        put(format!("may not serve this: {why}; asked all the same, since no other is known to be able"));
    }
    for (what, names) in [("gives", &target.params), ("leaves out", &target.drops)] {
        if !names.is_empty() {
            put(format!("{what} {}", names.join(", ")));
        }
    }
    if !target.limits.is_empty() {
        let limits: Vec<String> = target.limits.iter().map(Limit::to_string).collect();
        put(format!("limits: {}", limits.join("; ")));
    }
    match &target.price_per_million {
        _ if !target.known => put("nothing is known of this model".to_owned()),
        Some((input, output)) => put(format!("USD for a million tokens: {input} read, {output} written")),
        None => put("its price is not known".to_owned()),
    }
    if let Some(estimate) = &target.estimate {
        let most = estimate
            .at_most
            .as_ref()
            .map_or(String::new(), |most| format!(", with the longest answer {most}"));
        put(format!("USD for this prompt: about {}{most}", estimate.prompt));
    }
    if let Some(why) = &target.refused {
        put(format!("cannot be asked: {why}"));
    }
    if let Some(asked) = &target.asked {
        put_asked(text, asked);
    }
}

fn put_asked(text: &mut String, asked: &Asked) {
    let url = asked.url.as_deref().unwrap_or("in this process");
    let how = match asked.translated {
        true => format!("translated to {}", asked.dialect),
        false => format!("untouched, {}", asked.dialect),
    };
    let _ = writeln!(text, "    {} {url}", asked.method);
    let _ = writeln!(text, "    {how}; credentials: {}", asked.credentials);
    for lost in &asked.losses {
        let _ = writeln!(text, "    loses {}: {}", lost.pointer, lost.why);
    }
    if let Some(body) = asked.body.as_deref().filter(|_| asked.translated) {
        let json = serde_json::from_str::<serde_json::Value>(body);
        let pretty = json.map_or_else(|_| body.to_owned(), |json| format!("{json:#}"));
        for line in pretty.lines() {
            let _ = writeln!(text, "      {line}");
        }
    }
}

fn length(ms: u64) -> String {
    match ms % 1_000 {
        0 => format!("{} s", ms / 1_000),
        _ => format!("{ms} ms"),
    }
}

fn put_settings(text: &mut String, settings: &Settings, targets: usize) {
    let race = match settings.race_ms {
        0 => "never".to_owned(),
        ms => format!("after {}", length(ms)),
    };
    let _ = writeln!(text, "\nfailover");
    let _ = writeln!(
        text,
        "  {} attempts in all, retries at one target: {}, a slow one is raced {race}",
        settings.attempts, settings.retries
    );
    if let Some(Hedged { after_ms, percent }) = &settings.hedge {
        let after = length(*after_ms);
        let _ = writeln!(text, "  a stream is hedged after {after}, for {percent} % of the requests at most");
    }
    let filter =
        if settings.content_filter { "asked of the next target" } else { "final, but for fallbacks" };
    let _ = writeln!(
        text,
        "  a stream that breaks off: {}; a content filter's refusal: {filter}",
        settings.streams
    );
    let _ = writeln!(
        text,
        "  timeouts: connect {}, first byte {}, first token {}, silence {}, all {}",
        length(settings.connect_ms),
        length(settings.first_byte_ms),
        length(settings.first_token_ms),
        length(settings.idle_ms),
        length(settings.total_ms)
    );
    if usize::try_from(settings.attempts).is_ok_and(|attempts| attempts < targets) {
        let _ = writeln!(text, "  there are more targets than attempts");
    }
    if settings.strict {
        let _ = writeln!(text, "  strict: what would lose something is refused");
    }
}
