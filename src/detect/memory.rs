//! Memory of the system, and the limit a container puts on it.

use crate::detect::probe::ProbedRam;
use crate::detect::source::Source;
use serde::{Deserialize, Serialize};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// What the system answers where there is no file to read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    total: u64,
    available: u64,
}

/// What the control group of this process says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// 1 or 2.
    version: u32,
    /// The tightest limit on the way to the root, as text: `max` is none.
    limit: String,
    /// What its programs hold, without the cache of files, bytes.
    used: u64,
}

pub(super) fn ram(source: &mut Source) -> ProbedRam {
    let (total, available) = if source.is_linux() { of_kernel(source) } else { of_library(source) };
    let group: Option<Group> =
        source.call("memory of the control group", || group(&|path| std::fs::read_to_string(path).ok()));
    // No limit is `max`, or a number far above any memory.
    let limit = group.and_then(|group| Some((group.limit.parse::<u64>().ok()?, group.used)));
    match limit.filter(|(limit, _)| *limit > 0 && *limit < total) {
        // In a container only its own programs count against the limit.
        Some((limit, used)) => ProbedRam { total, used, limit: Some(limit), ..ProbedRam::default() },
        None => ProbedRam { total, used: total.saturating_sub(available), ..ProbedRam::default() },
    }
}

fn of_kernel(source: &mut Source) -> (u64, u64) {
    let text = source.read_kept("/proc/meminfo", |text| {
        let wanted = ["MemTotal:", "MemAvailable:", "SwapTotal:"];
        let lines: Vec<&str> =
            text.lines().filter(|line| wanted.iter().any(|w| line.starts_with(w))).collect();
        Some(lines.join("\n"))
    });
    let text = text.unwrap_or_default();
    let kib = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let total = kib("MemTotal:").unwrap_or(0) << 10;
    (total, kib("MemAvailable:").map_or(total, |kib| kib << 10))
}

fn of_library(source: &mut Source) -> (u64, u64) {
    let answer: Option<Answer> = source.call("memory", || {
        let kinds = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
        let system = System::new_with_specifics(kinds).ok()?;
        Some(Answer { total: system.total_memory(), available: system.available_memory() })
    });
    let answer = answer.unwrap_or_default();
    // Some systems answer zero where they cannot tell what is available.
    (answer.total, if answer.available == 0 { answer.total } else { answer.available })
}

/// The tightest memory limit of this process. A limit may stand at any level between its group and
/// the root; inside a container the container's own group is the root.
fn group(read: &dyn Fn(&str) -> Option<String>) -> Option<Group> {
    let groups = read("/proc/self/cgroup")?;
    let of = |wanted: fn(&str, &str) -> bool| {
        groups.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            wanted(id, controllers).then(|| path.to_owned())
        })
    };
    let first = of(|_, controllers| controllers.split(',').any(|name| name == "memory"));
    let (version, root, path, limit, usage) = if let Some(path) = first {
        (1, "/sys/fs/cgroup/memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes")
    } else {
        let path = of(|id, controllers| id == "0" && controllers.is_empty())?;
        (2, "/sys/fs/cgroup", path, "memory.max", "memory.current")
    };
    let mut tightest: Option<(u64, String)> = None;
    let mut said_none = false;
    let mut level = path.trim_end_matches('/').to_owned();
    loop {
        let folder = format!("{root}{level}");
        if let Some(text) = read(&format!("{folder}/{limit}")) {
            match text.trim().parse::<u64>() {
                Ok(bytes) if tightest.as_ref().is_none_or(|(least, _)| bytes < *least) => {
                    tightest = Some((bytes, folder));
                }
                Ok(_) => {}
                Err(_) => said_none = true,
            }
        }
        let Some(parent) = level.rfind('/') else { break };
        level.truncate(parent);
    }
    let Some((bytes, folder)) = tightest else {
        return said_none.then(|| Group { version, limit: "max".to_owned(), used: 0 });
    };
    let used =
        read(&format!("{folder}/{usage}")).and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    let stat = read(&format!("{folder}/memory.stat")).unwrap_or_default();
    let files: u64 = stat
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(key, _)| match version {
            1 => ["total_inactive_file", "total_active_file"].contains(key),
            _ => ["inactive_file", "active_file"].contains(key),
        })
        .filter_map(|(_, value)| value.trim().parse::<u64>().ok())
        .sum();
    Some(Group { version, limit: bytes.to_string(), used: used.saturating_sub(files) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Option<Group> {
        group(&|path| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_tightest_level_counts() {
        // A pod of 8 GiB holds a container without a limit of its own.
        let found = of(&[
            ("/proc/self/cgroup", "0::/pod/container\n"),
            ("/sys/fs/cgroup/pod/container/memory.max", "max\n"),
            ("/sys/fs/cgroup/pod/memory.max", "8589934592\n"),
            ("/sys/fs/cgroup/pod/memory.current", "3000000000\n"),
            ("/sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 500000000\nactive_file 500000000\n"),
        ]);
        assert_eq!(found, Some(Group { version: 2, limit: "8589934592".to_owned(), used: 2_000_000_000 }));
    }

    #[test]
    fn the_first_version_and_no_limit() {
        // The path of the host is not visible inside; the root is the container.
        let found = of(&[
            ("/proc/self/cgroup", "4:memory:/docker/a\n0::/\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4294967296\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "700\n"),
            ("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 200\ninactive_file 100\n"),
        ]);
        assert_eq!(found, Some(Group { version: 1, limit: "4294967296".to_owned(), used: 500 }));
        let none = of(&[("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "max\n")]);
        assert_eq!(none.map(|group| group.limit).as_deref(), Some("max"));
        assert_eq!(of(&[]), None);
    }
}
