//! What refuses to start, and what it says.

use crate::support::{
    client::get,
    gateway::{Ended, Gateway, Setup},
};

fn refused(setup: &Setup) -> Ended {
    let ended = Gateway::refused(setup);
    assert_eq!((ended.code, ended.out.as_str()), (Some(78), ""), "{}", ended.err);
    ended
}

fn with_keys(variable: &str, keys: &str) -> Setup {
    let environment = vec![(variable.to_owned(), keys.to_owned())];
    Setup { listen: "0.0.0.0:0", environment, ..Setup::default() }
}

#[test]
fn beyond_the_loopback_nothing_starts_without_a_client_key() {
    for listen in ["0.0.0.0:0", "[::]:0"] {
        let ended = refused(&Setup { listen, ..Setup::default() });
        for said in ["SEKISHO_KEYS", "openssl rand -hex 24", "--allow-open"] {
            assert!(ended.err.contains(said), "{said}: {}", ended.err);
        }
    }
    // An empty value is unset.
    refused(&with_keys("SEKISHO_KEYS", ""));
    refused(&with_keys("SEKISHO_KEYS", " , "));
}

#[test]
fn beyond_the_loopback_nothing_starts_with_a_key_that_everybody_knows() {
    let variables = ["SEKISHO_KEYS", "PROXY_API_KEY", "CLIENT_API_KEY", "LLM_API_KEYS", "LITELLM_MASTER_KEY"];
    let weak = ["sk-1234", "changeme", "test", "password", "fifteen-charact", "aaaaaaaaaaaaaaaaaaaaaaaa"];
    for (index, key) in weak.iter().enumerate() {
        let variable = variables[index % variables.len()];
        let ended = refused(&with_keys(variable, key));
        assert!(ended.err.contains(variable), "{key}: {}", ended.err);
        assert!(ended.err.contains("openssl rand -hex 24"), "{key}: {}", ended.err);
        // It may be somebody's key all the same.
        assert!(!ended.err.contains(key) || *key == "test", "{key}: {}", ended.err);
    }
    // One weak key among good ones is an open door.
    refused(&with_keys("SEKISHO_KEYS", "good-key-0123456789-abcdef,sk-1234"));
    let config = Some("keys: sk-1234\n".to_owned());
    let ended = refused(&Setup { config, listen: "0.0.0.0:0", ..Setup::default() });
    assert!(ended.err.contains("test.yaml:1:"), "{}", ended.err);
}

#[test]
fn who_says_so_serves_everybody_and_is_warned() {
    let arguments = vec!["--allow-open"];
    let open = Gateway::start(&Setup { listen: "0.0.0.0:0", arguments, ..Setup::default() });
    assert!(open.err().contains("--allow-open"), "{}", open.err());
    assert_eq!(open.ask(&get("/v1/models")).status, 200);
    let good = Gateway::start(&with_keys("SEKISHO_KEYS", "good-key-0123456789-abcdef"));
    assert_eq!(good.ask(&get("/v1/models")).status, 401);
    // Only on this machine a short key is taken, and said to be short.
    let short = with_keys("SEKISHO_KEYS", "sk-1234");
    let short = Gateway::start(&Setup { listen: "127.0.0.1:0", ..short });
    assert_eq!(short.ask(&get("/v1/models")).status, 401);
    assert_eq!(short.ask(&get("/v1/models").header("x-api-key", "sk-1234")).status, 200);
}

#[test]
fn a_setting_that_is_not_known_is_refused_with_its_place_and_what_was_meant() {
    for (config, place, meant) in [
        ("attempts: 2\ntimeuots: {idle: 1s}\n", "test.yaml:2:1", "`timeouts`"),
        ("timeouts:\n  idel: 1s\n", "test.yaml:2:3", "`idle`"),
        ("providers:\n  openai: {keyz: secret-secret-secret}\n", "test.yaml:2:12", "`keys`"),
    ] {
        let ended = refused(&Setup { config: Some(config.to_owned()), ..Setup::default() });
        assert!(ended.err.contains(place), "{config}: {}", ended.err);
        assert!(ended.err.contains("did you mean") && ended.err.contains(meant), "{config}: {}", ended.err);
        assert!(!ended.err.contains("secret-secret"), "{}", ended.err);
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let first = Gateway::start(&Setup::default());
    let listen = first.addr.to_string().leak();
    let second = Gateway::refused(&Setup { listen, ..Setup::default() });
    assert_eq!(second.code, Some(1), "{}", second.err);
    assert!(second.err.contains(&*listen) && second.err.contains("--listen"), "{}", second.err);
    assert_eq!(first.ask(&get("/health")).status, 200);
}
