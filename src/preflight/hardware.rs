//! Reads what programs and the kernel say about processor, disks and cards.

use super::parse::{path, shown};
use crate::vocab::facts::{Disk, Gpu, GpuKind};

/// The x86-64 level (1 to 4) that a processor with these flags of `/proc/cpuinfo` has, as the x86-64 psABI defines it.
pub(super) fn x86_level(flags: &str) -> u8 {
    const LEVELS: [&[&str]; 3] = [
        &["cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"],
        &["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"],
        &["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"],
    ];
    let has: std::collections::BTreeSet<&str> = flags.split_ascii_whitespace().collect();
    1 + LEVELS.iter().take_while(|level| level.iter().all(|flag| has.contains(flag))).count() as u8
}

/// Reads a row of `df -Pk` about the folder `asked`. Device and mount point may have spaces in them.
pub(super) fn disk(asked: &str, row: &str) -> Option<Disk> {
    let words: Vec<&str> = row.split_ascii_whitespace().collect();
    let number = |word: &str| word.parse::<i64>().ok();
    let percent = (4..words.len()).find(|i| {
        let is_share = words[*i].strip_suffix('%').is_some_and(|n| number(n).is_some()) || words[*i] == "-";
        is_share && (i - 3..*i).all(|n| number(words[n]).is_some())
    })?;
    // What is reserved for root can make it negative.
    let kilobytes = u64::try_from(number(words[percent - 1])?).unwrap_or(0);
    let mount = words[percent + 1..].join(" ");
    let filesystem = shown(if mount.is_empty() { words[0] } else { &mount });
    Some(Disk { path: path(asked)?, free: kilobytes.saturating_mul(1024), filesystem })
}

/// Reads a row of `nvidia-smi --query-gpu=name,memory.total[,compute_cap]` without units (MiB).
pub(super) fn nvidia(row: &str) -> Option<Gpu> {
    let fields: Vec<&str> = row.split(',').map(str::trim).collect();
    if fields.len() < 2 || fields[0].is_empty() {
        return None;
    }
    let compute = fields.get(2).filter(|c| c.contains('.') && c.bytes().all(|b| b.is_ascii_digit() || b == b'.'));
    Some(Gpu {
        kind: GpuKind::Cuda,
        name: shown(fields[0]),
        // "[N/A]" where the card shares the machine's memory.
        vram: fields[1].parse::<u64>().ok().map(|mib| mib.saturating_mul(1 << 20)),
        compute: compute.map(|c| (*c).to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_build_on_each_other() {
        let two = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3";
        let three = format!("{two} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave");
        let four = "avx512f avx512bw avx512cd avx512dq avx512vl";
        assert_eq!(x86_level(""), 1);
        assert_eq!(x86_level(two), 2);
        assert_eq!(x86_level(&three), 3);
        assert_eq!(x86_level(&format!("{three} {four}")), 4);
        assert_eq!(x86_level(&format!("{two} {four}")), 2);
    }

    #[test]
    fn rows_of_df_are_read_from_where_the_numbers_are() {
        let free = |row| disk("/x", row).map(|d| (d.free, d.filesystem));
        assert_eq!(free("/dev/sda1 100 60 40 60% /"), Some((40 * 1024, "/".into())));
        assert_eq!(
            free("//nas/our share 100 60 40 60% /Volumes/our share"),
            Some((40 * 1024, "/Volumes/our share".into()))
        );
        assert_eq!(free("/dev/sda1 100 105 -5 105% /full"), Some((0, "/full".into())));
        assert_eq!(free("tmpfs 0 0 0 - /run"), Some((0, "/run".into())));
        assert_eq!(free("/dev/sda1 18446744073709551615 1 9223372036854775807 1% /"), None);
        assert_eq!(free("df: /x: No such file or directory"), None);
        assert_eq!(free(""), None);
    }

    #[test]
    fn cards_are_read_with_and_without_their_memory() {
        let card = nvidia("NVIDIA GeForce RTX 4090, 24564, 8.9").unwrap();
        assert_eq!((card.vram, card.compute.as_deref()), (Some(24564 << 20), Some("8.9")));
        let shared = nvidia("NVIDIA GB10, [N/A], 12.1").unwrap();
        assert_eq!((shared.vram, shared.compute.as_deref()), (None, Some("12.1")));
        assert_eq!(nvidia("Tesla K80, 11441").unwrap().compute, None);
        assert_eq!(nvidia("No devices were found"), None);
    }
}
