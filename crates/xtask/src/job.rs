//! Programs that a chore runs: bounded in time, their words kept in a file.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How often a running program is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Cargo, the one that runs us where it says so.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(words);
    command
}

/// Runs a program to its end and gives back what it wrote, both streams together, which is also appended
/// to `log`.
///
/// # Errors
/// The program could not be started, ran longer than `limit`, or failed: in words, with its output's tail.
pub(crate) fn run(command: &mut Command, limit: Duration, log: &Path) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut file = appending(log)?;
    let start = file.seek(SeekFrom::End(0)).map_err(|e| e.to_string())?;
    let (out, err) = (file.try_clone(), file.try_clone());
    let (out, err) = (out.map_err(|e| e.to_string())?, err.map_err(|e| e.to_string())?);
    // What goes into a file is not to be coloured.
    command.env("TERM", "dumb").env("CARGO_TERM_COLOR", "never");
    let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
    let mut child = child.map_err(|e| format!("cannot start `{name}`: {e}"))?;
    let status = wait(&mut child, limit);
    let output = read_from(&mut file, start);
    match status {
        Some(status) if status.success() => Ok(output),
        Some(status) => Err(format!("{output}\n`{name}` failed: {status}")),
        None => Err(format!("{output}\n`{name}` was ended after {} s", limit.as_secs())),
    }
}

/// Whether a program of that name answers to `--version`.
pub(crate) fn exists(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a program writes to stdout, or nothing where it fails. For questions that are answered at once.
pub(crate) fn answer(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).copied().collect::<Vec<_>>().join("\n")
}

fn appending(log: &Path) -> Result<File, String> {
    let folder = log.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    let file = File::options().create(true).append(true).read(true).open(log);
    file.map_err(|e| format!("cannot write {}: {e}", log.display()))
}

fn read_from(file: &mut File, start: u64) -> String {
    let mut bytes = Vec::new();
    let _ = file.seek(SeekFrom::Start(start)).and_then(|_| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits for the end; past the limit ends the program with all that it started.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => sleep(GLANCE),
            Err(_) => break,
        }
    }
    end_descendants(child.id());
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Ends what a process has started, found by walking the process table from parent to child.
fn end_descendants(root: u32) {
    let mut family = vec![root];
    let table = process_table();
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(table.iter().filter(|(_, its_parent)| *its_parent == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    for pid in family.iter().skip(1) {
        let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
    }
}

/// Every process with its parent. Empty where there is no `/proc`.
fn process_table() -> Vec<(u32, u32)> {
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, parent_of(pid)?))).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything; state and parent follow the last one.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests;
