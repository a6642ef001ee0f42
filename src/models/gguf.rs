//! The files of a GGUF repository: quantisations and shards.
//!
//! One model comes in several quantisations, of which one is wanted. Without a word about it, it is the first of
//! [`PREFERRED`] that the repository has: four bits of the better kind are what most people run. `--fits` takes the
//! largest that leaves room, and orders by size, since names say little about that.

/// The order in which a quantisation is taken when none is named; what is not listed comes after it, the smaller first.
pub const PREFERRED: &[&str] = &[
    "Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_XS", "IQ4_NL", "Q4_1", "Q4_K_L", "Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q6_K",
    "Q3_K_M", "Q3_K_L", "Q3_K_S", "IQ3_M", "IQ3_S", "IQ3_XS", "Q8_0", "Q2_K", "MXFP4", "BF16", "F16", "F32",
];

/// One quantisation of a model: a file, or all its shards in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// In capitals: `Q4_K_M`; empty when the name says none.
    pub quant: String,
    /// Paths in the repository.
    pub files: Vec<String>,
    /// Bytes, all shards together.
    pub size: u64,
    /// Shards that the name promises and the repository does not have.
    pub missing: u32,
}

/// What a shard says of itself in `-00002-of-00005`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// The name without it.
    pub stem: String,
    pub number: u32,
    pub of: u32,
}

/// Reads the number of a shard from a file's name.
pub fn shard(path: &str) -> Option<Shard> {
    let (stem, end) = path.rsplit_once('.')?;
    let (stem, of) = stem.rsplit_once("-of-")?;
    let (name, number) = stem.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok());
    let (number, of): (u32, u32) = (digits(number)??, digits(of)??);
    (1..=of).contains(&number).then(|| Shard { stem: format!("{name}.{end}"), number, of })
}

/// The quantisation in a file's name, else in the folder that it lies in.
pub fn quant_of(path: &str) -> Option<String> {
    let name = shard(path).map_or_else(|| path.to_owned(), |shard| shard.stem);
    let name = name.strip_suffix(".gguf").unwrap_or(&name);
    name.rsplit('/').find_map(quant_in)
}

fn quant_in(name: &str) -> Option<String> {
    let upper = name.to_ascii_uppercase();
    // `-` and `.` part words, and `_` parts the words of a quantisation: the longest tail that is one counts.
    let words: Vec<&str> = upper.split(['-', '.']).collect();
    words.iter().rev().find_map(|word| {
        let parts: Vec<&str> = word.split('_').collect();
        (0..parts.len()).map(|from| parts[from..].join("_")).find(|tail| is_quant(tail))
    })
}

/// `Q4_K_M`, `IQ3_XXS`, `Q8_0`, `BF16`, `MXFP4`, `TQ1_0`.
fn is_quant(word: &str) -> bool {
    if matches!(word, "BF16" | "F16" | "FP16" | "F32" | "FP32" | "MXFP4" | "MXFP4_MOE") {
        return true;
    }
    let Some(rest) = ["IQ", "TQ", "Q"].iter().find_map(|kind| word.strip_prefix(kind)) else { return false };
    let mut parts = rest.split('_');
    let bits = parts.next().unwrap_or_default();
    let tail =
        |part: &str| matches!(part, "0" | "1" | "K" | "S" | "M" | "L" | "XS" | "XXS" | "XL" | "XXL" | "NL" | "P");
    bits.len() == 1 && (b'1'..=b'8').contains(&bits.as_bytes()[0]) && parts.all(tail)
}

/// Groups the GGUF files among `files` into variants, the preferred one first.
///
/// A projector (`mmproj…`) and an importance matrix go beside a model and are none themselves.
pub fn variants<'a>(files: impl IntoIterator<Item = (&'a str, u64)>) -> Vec<Variant> {
    // Name without number, count of shards, the shards, their bytes.
    type Group = (String, u32, Vec<(u32, String)>, u64);
    let mut found: Vec<Group> = Vec::new();
    for (path, size) in files {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        if !name.ends_with(".gguf") || name.starts_with("mmproj") || name.contains("imatrix") {
            continue;
        }
        let (stem, number, of) = match shard(path) {
            Some(shard) => (shard.stem, shard.number, shard.of),
            None => (path.to_owned(), 1, 1),
        };
        match found.iter_mut().find(|(known, shards, ..)| *known == stem && *shards == of) {
            Some((_, _, files, sum)) => {
                files.push((number, path.to_owned()));
                *sum = sum.saturating_add(size);
            }
            None => found.push((stem, of, vec![(number, path.to_owned())], size)),
        }
    }
    let mut variants: Vec<Variant> = found
        .into_iter()
        .map(|(_, of, mut files, size)| {
            files.sort();
            files.dedup();
            let missing = of.saturating_sub(u32::try_from(files.len()).unwrap_or(u32::MAX));
            let files: Vec<String> = files.into_iter().map(|(_, path)| path).collect();
            Variant { quant: quant_of(&files[0]).unwrap_or_default(), files, size, missing }
        })
        .collect();
    let rank = |quant: &str| PREFERRED.iter().position(|known| *known == quant).unwrap_or(PREFERRED.len());
    variants.sort_by(|a, b| (rank(&a.quant), a.size, &a.files).cmp(&(rank(&b.quant), b.size, &b.files)));
    variants
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantisations_are_read_from_names() {
        for (path, quant) in [
            ("tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf", Some("Q4_K_M")),
            ("Qwen3-0.6B-IQ3_XXS.gguf", Some("IQ3_XXS")),
            ("model-q8_0.gguf", Some("Q8_0")),
            ("BF16/gpt-00001-of-00002.gguf", Some("BF16")),
            ("UD-Q2_K_XL/x-UD-Q2_K_XL-00001-of-00003.gguf", Some("Q2_K_XL")),
            ("gemma_3_q4_0.gguf", Some("Q4_0")),
            ("gpt-oss-20b-mxfp4.gguf", Some("MXFP4")),
            ("Phi-3-mini-4k-instruct-fp16.gguf", Some("FP16")),
            ("model.gguf", None),
            ("Q-anon-2024.gguf", None),
        ] {
            assert_eq!(quant_of(path).as_deref(), quant, "{path}");
        }
    }

    #[test]
    fn shards_are_one_model() {
        let files = [
            ("a-Q8_0-00002-of-00002.gguf", 5),
            ("a-Q8_0-00001-of-00002.gguf", 7),
            ("a-Q4_K_M.gguf", 3),
            ("a-Q2_K-00001-of-00003.gguf", 1),
            ("mmproj-a-F16.gguf", 1),
            ("README.md", 1),
        ];
        let found = variants(files);
        let words: Vec<_> = found.iter().map(|v| (v.quant.as_str(), v.files.len(), v.size, v.missing)).collect();
        assert_eq!(words, [("Q4_K_M", 1, 3, 0), ("Q8_0", 2, 12, 0), ("Q2_K", 1, 1, 2)]);
        assert_eq!(found[1].files[0], "a-Q8_0-00001-of-00002.gguf");
        assert_eq!(shard("a-00000-of-00002.gguf"), None);
        assert_eq!(shard("a-00003-of-00002.gguf"), None);
        assert_eq!(shard("a-1-of-2.gguf"), None);
    }
}
