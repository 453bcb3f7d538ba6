//! The pass-through leads below its provider's address and nowhere else, however a path is spelt.

use crate::support::{all_at_once, client::get, tag, world::World};

/// Ways to write "one up", a separator or an end that some parser somewhere understands.
const STEPS: &[&str] = &[
    "..",
    ".",
    "%2e%2e",
    "%2E%2E",
    ".%2e",
    "%2e.",
    "%2e",
    "%252e%252e",
    "%25%32%65",
    "%%32%65",
    "%c0%ae%c0%ae",
    "%e0%80%ae%e0%80%ae",
    "%f0%80%80%ae",
    "%uff0e%uff0e",
    "%u002e%u002e",
    "\u{ff0e}\u{ff0e}",
    "%ef%bc%8e%ef%bc%8e",
    "\u{2025}",
    "%e2%80%a5",
    "%e2%80%a4%e2%80%a4",
    "..;",
    "..;x=y",
    ".;",
    "..%3b",
    "..%00",
    "..%0a",
    "..%0d%0a",
    "..%09",
    "..%20",
    "..%23",
    "..%3f",
    "...",
    "....",
    "..\\",
    "\\..",
    "%5c..",
    "..%5c",
    "..%2f",
    "%2f..",
    "..%252f",
    "..%c0%af",
    "%c0%af",
    "%c1%9c",
    "%e0%80%af",
    "..%ef%bc%8f",
    "..%e2%88%95",
    "..%e2%81%84",
    "%ef%bc%bc..",
    "%00",
    "%",
    "%2",
    "%zz",
    "%g0",
    "%ff",
    "%80",
];

/// Where a step stands.
const PLACES: &[&str] = &["/box/@/x", "/box/a/@/@/@/x", "/box/x/@", "/box/@"];

#[test]
fn a_path_stays_below_its_provider_or_is_refused() {
    let world = World::open();
    let mut cases: Vec<String> =
        STEPS.iter().flat_map(|step| PLACES.iter().map(move |place| place.replace('@', step))).collect();
    cases.extend(
        [
            "/box//x",
            "//box/x",
            "/box///x",
            "/./box/x",
            "/../box/x",
            "/x/../box/x",
            "/box/x//",
            "/box\\x",
            "/box%2fx",
            "/%62ox/x",
            "/bo%78/x",
            "/BOX/x",
            "/box;/x",
            "/box;a=b/x",
            "/box/x;y",
            "/box/#x",
            "/box/x%3f@evil",
            "/box/@evil.test/x",
            "/box/:80/x",
            "/box/http://evil.test/x",
            "/box/v1/../../../admin",
            "/box/v1/v1/..",
            "/box/.../x",
            "/.box/x",
            "/box./x",
            "/box%00/x",
            "/box%20/x",
        ]
        .map(str::to_owned),
    );
    let passed = std::sync::atomic::AtomicUsize::new(0);
    all_at_once(&cases, 8, |path| {
        let tag = tag();
        let request = get(&format!("{path}?{tag}"));
        let answer = world.gateway.connect().patience(crate::support::client::PATIENCE).ask(&request);
        let seen = world.seen_so_far(&tag);
        match answer.status {
            200 => {
                passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let rest = path.trim_start_matches("/box").trim_start_matches("/v1");
                assert_eq!(seen.len(), 1, "{path}");
                assert_eq!(seen[0].target, format!("/echo/box/v1{rest}?{tag}"), "{path}");
                assert!(!climbs(rest), "{path} was passed on as {}", seen[0].target);
            }
            400 | 404 => assert!(seen.is_empty(), "{path}"),
            other => panic!("{path}: {other} {}", answer.text()),
        }
    });
    let passed = passed.into_inner();
    println!("{} spellings, {passed} passed as they were", cases.len());
    assert!(passed > 5 && cases.len() > 200, "{passed} of {}", cases.len());
}

/// Some parser, however foolish, could leave the folder by this path.
fn climbs(path: &str) -> bool {
    let mut path = path.to_lowercase();
    for _ in 0..3 {
        for (code, meant) in [
            ("%25", "%"),
            ("%2e", "."),
            ("%2f", "/"),
            ("%5c", "/"),
            ("\\", "/"),
            ("%3b", ";"),
            ("%00", ""),
            ("%c0%ae", "."),
            ("%e0%80%ae", "."),
            ("%f0%80%80%ae", "."),
            ("%c0%af", "/"),
            ("%c1%9c", "/"),
            ("%e0%80%af", "/"),
            ("%u002e", "."),
            ("%uff0e", "."),
            ("%ef%bc%8e", "."),
            ("%ef%bc%8f", "/"),
            ("%ef%bc%bc", "/"),
            ("%e2%80%a4", "."),
            ("%e2%80%a5", ".."),
            ("%e2%88%95", "/"),
            ("%e2%81%84", "/"),
        ] {
            path = path.replace(code, meant);
        }
    }
    path.split('/').any(|segment| segment.split([';', '#', '?', '\n', '\r', '\t', ' ']).next() == Some(".."))
}

#[test]
fn a_path_that_climbs_is_refused_for_the_gateway_s_own_routes_too() {
    let world = World::keyed();
    for path in [
        "/health/../v1/models",
        "/health/..%2fv1/models",
        "/health;/../v1/models",
        "//v1/models",
        "/v1//models",
        "/v1/./models",
        "/v1/models/..%5c",
        "/%76%31/models",
        "/health%2f..%2fv1%2fmodels",
        "/health/%2e%2e/v1/models",
    ] {
        let status = world.ask(&get(path)).status;
        assert!(matches!(status, 400 | 401 | 404), "{path}: {status}");
        assert_ne!(status, 200);
    }
}
