use super::*;

#[test]
fn every_test_result_of_a_run_is_counted() {
    let output = "running 3 tests\ntest result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out\n\
        \x20test result: FAILED. 3 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out\n";
    assert_eq!(Count::of_libtest(output).to_string(), "5 passed, 4 failed, 1 skipped");
}

#[test]
fn the_last_count_of_a_program_counts() {
    let output = "1 passed, 0 failed, 0 skipped\nok chat\n12 passed, 3 failed, 4 skipped\nbye\n";
    assert_eq!(Count::of_last_line(output).to_string(), "12 passed, 3 failed, 4 skipped");
}

#[test]
fn a_program_that_fails_without_a_count_has_failed_once() {
    let outcome = Outcome::counted(Err("it would not compile".into()), Count::of_libtest);
    assert_eq!(outcome.count.to_string(), "0 passed, 1 failed, 0 skipped");
    assert_eq!(outcome.words, "it would not compile");
}

#[test]
fn an_option_that_is_none_is_refused() {
    assert!(options(&["--only", "fmt", "--json"]).is_ok());
    for wrong in [&["--only"][..], &["--only", "nothing"], &["--jsno"]] {
        assert!(options(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_program_past_its_limit_is_ended_with_its_children() {
    let log = std::env::temp_dir().join(format!("sekisho-xtask-{}.log", std::process::id()));
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo begun; sleep 600 & echo $!; wait"]);
    let words = run(&mut shell, Duration::from_secs(1), &log).expect_err("it is ended");
    let child = words.lines().nth(1).expect("the child's number").to_owned();
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(" Z "), "{words}\n{state}");
    let _ = std::fs::remove_file(log);
}
