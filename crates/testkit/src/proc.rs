//! Processor time and memory of a process, and of the machine, from `/proc` (Linux).

use std::{fs, time::Duration};

/// A tick of the kernel's older counters; Linux has had 100 a second on every machine for long.
const TICK: Duration = Duration::from_millis(10);

/// Processor time a process has taken so far in all its living threads; `None` if it is gone.
///
/// The scheduler's own count in nanoseconds where the kernel keeps one, else ticks of 10 ms.
pub fn cpu(pid: u32) -> Option<Duration> {
    scheduled(pid).or_else(|| ticked(pid))
}

/// Memory a process holds now, in bytes.
pub fn resident(pid: u32) -> Option<u64> {
    status(pid, "VmRSS:")
}

/// The most memory a process has ever held, in bytes.
pub fn resident_peak(pid: u32) -> Option<u64> {
    status(pid, "VmHWM:")
}

/// Open file descriptors of a process.
pub fn descriptors(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// Processor time the whole machine has taken so far, in every process and in the kernel.
pub fn machine_cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    // user nice system idle iowait irq softirq steal
    let fields: Vec<u32> = stat
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let idle = fields.iter().skip(3).take(2).sum::<u32>();
    Some(TICK * (fields.iter().sum::<u32>() - idle))
}

fn scheduled(pid: u32) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let Ok(text) = fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
        total += Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?);
    }
    (!total.is_zero()).then_some(total)
}

fn ticked(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold spaces; user and system time are the 12th and 13th field after it.
    let (_, after) = stat.rsplit_once(')')?;
    let fields = after.split_whitespace().skip(11).take(2);
    Some(TICK * fields.filter_map(|field| field.parse::<u32>().ok()).sum::<u32>())
}

fn status(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
