//! Network ports that join machines: InfiniBand and RoCE first, Ethernet besides.

use crate::detect::probe::ProbedPort;
use crate::detect::source::Source;

const RDMA: &str = "/sys/class/infiniband";
const NET: &str = "/sys/class/net";

pub(super) fn ports(source: &mut Source) -> Vec<ProbedPort> {
    let mut found = Vec::new();
    for device in source.names(RDMA) {
        for port in source.names(&format!("{RDMA}/{device}/ports")) {
            let mut part = |file: &str| source.read(&format!("{RDMA}/{device}/ports/{port}/{file}"));
            // `400 Gb/sec (4X NDR)`
            let gbit = part("rate").and_then(|rate| rate.split_whitespace().next()?.parse().ok());
            let Some(gbit) = gbit else { continue };
            let over = part("link_layer").unwrap_or_default();
            let kind = if over == "Ethernet" { "RoCE" } else { "InfiniBand" };
            let active = part("state").is_some_and(|state| state.contains("ACTIVE"));
            found.push(ProbedPort {
                name: format!("{device} port {port}"),
                kind: kind.to_owned(),
                gbit,
                active,
            });
        }
    }
    for name in source.names(NET) {
        // Bridges and tunnels have no device; `enx…` carries the address of the card in its name.
        if name.starts_with("enx") || source.link(&format!("{NET}/{name}/device")).is_none() {
            continue;
        }
        // -1 where the link is down.
        let speed = source.read(&format!("{NET}/{name}/speed")).and_then(|text| text.parse::<i64>().ok());
        let Some(mbit) = speed.filter(|mbit| *mbit > 0) else { continue };
        found.push(ProbedPort { name, kind: "Ethernet".to_owned(), gbit: mbit as f64 / 1e3, active: true });
    }
    found
}
