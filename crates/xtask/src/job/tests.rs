use super::*;
use std::io::{BufRead as _, BufReader};

#[test]
fn a_program_past_its_limit_is_ended() {
    let log = std::env::temp_dir().join(format!("sekisho-xtask-{}.log", std::process::id()));
    let words = run(Command::new("sleep").arg("600"), Duration::ZERO, &log).expect_err("it is ended");
    assert!(words.ends_with("`sleep` was ended after 0 s"), "{words}");
    let _ = std::fs::remove_file(log);
}

#[test]
fn what_a_program_has_started_ends_with_it() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "sleep 600 & echo begun; wait"]).stdout(Stdio::piped());
    let mut shell = shell.spawn().expect("there is a shell");
    let mut line = String::new();
    BufReader::new(shell.stdout.take().expect("it is piped")).read_line(&mut line).expect("it writes");
    end_descendants(shell.id());
    // The shell itself was not ended: it goes on because what it waited for is gone.
    assert!(shell.wait().is_ok(), "{line}");
}
