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
