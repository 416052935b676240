//! The header of a trace, as a configuration of the recycler.
//!
//! **Invariant: parameters come from the header, rules from the preset of the release's generation.**

use millpond_model::Preset;
use millpond_model::recycler::{BatchOrder, OwnerExit, RecyclerConfig};
use serde_json::Value;

/// The generations as the traces name them: they write different statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// 4.0.43 and 4.1.5 to 4.1.43.
    A1,
    /// 4.1.44 to 4.1.65.
    A2,
    /// 4.1.66 to 4.1.70.
    A3,
    /// 4.1.71 to 4.1.87.
    B1,
    /// 4.1.88 to 4.2.6.
    B2,
    /// 4.2.7+.
    C,
}

impl Dialect {
    /// Whether threads have a map of hand-over queues.
    pub fn has_delayed(self) -> bool {
        matches!(self, Self::A1 | Self::A2 | Self::A3)
    }
}

/// What a trace needs.
pub struct Setup {
    pub netty: String,
    pub name: String,
    pub threads: u64,
    pub recyclers: u64,
    pub config: RecyclerConfig,
}

/// Threads and recyclers of a trace at most: the file is not trusted.
const MAX_COUNT: u64 = 1000;

/// Reads a header.
pub fn read(header: &Value) -> Result<(Dialect, Setup), String> {
    if header.get("fmt").and_then(Value::as_str) != Some("netty-lockstep/1") {
        return Err("it is not a trace of format netty-lockstep/1".into());
    }
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned).unwrap_or_default();
    let cfg = header.get("cfg").ok_or("no configuration")?;
    if text(cfg.get("domain")) != "recycler" {
        return Err("it is not a trace of recyclers".into());
    }
    let netty = text(header.get("netty"));
    let dialect = match text(header.get("gen")).as_str() {
        "A1" => Dialect::A1,
        "A2" => Dialect::A2,
        "A3" => Dialect::A3,
        "B1" => Dialect::B1,
        "B2" => Dialect::B2,
        "C" => Dialect::C,
        other => return Err(format!("unknown generation `{other}`")),
    };
    let count = |name: &str| match number(cfg, name)? {
        n @ 0..=MAX_COUNT => Ok(n),
        n => Err(format!("`{name}` is {n}, more than {MAX_COUNT}")),
    };
    let (threads, recyclers) = (count("threads")?, count("nrec")?);
    let config = recycler(dialect, &netty, cfg, header.get("statics").unwrap_or(&Value::Null))?;
    config.validate().map_err(|e| e.to_string())?;
    Ok((dialect, Setup { netty, name: text(cfg.get("name")), threads, recyclers, config }))
}

/// A number; a negative one counts as 0, as in Netty.
fn number(values: &Value, name: &str) -> Result<u64, String> {
    let value = values.get(name).and_then(Value::as_i64).ok_or_else(|| format!("no number `{name}`"))?;
    Ok(u64::try_from(value).unwrap_or(0))
}

/// A number of 32 bits.
fn small(values: &Value, name: &str) -> Result<u32, String> {
    u32::try_from(number(values, name)?).map_err(|_| format!("`{name}` is too large"))
}

/// The smallest power of two that isn't smaller; 1 for 0.
fn rounded(n: u32) -> Result<u32, String> {
    n.checked_next_power_of_two().ok_or_else(|| format!("{n} is too large"))
}

fn recycler(dialect: Dialect, netty: &str, cfg: &Value, statics: &Value) -> Result<RecyclerConfig, String> {
    let fast_threads = number(cfg, "ftl")? == 1;
    let removes = cfg.get("exit").and_then(Value::as_str) == Some("removeAll");
    let ratio = small(cfg, "ratio")?;
    let preset = match dialect {
        Dialect::A1 => Preset::Netty4_0_43,
        Dialect::A2 => Preset::Netty4_1_44,
        Dialect::A3 => Preset::Netty4_1_66,
        Dialect::B1 => Preset::Netty4_1_71,
        Dialect::B2 => Preset::Netty4_1_88,
        Dialect::C => Preset::Netty4_2_7,
    };
    let mut config = RecyclerConfig {
        max_capacity: small(cfg, "maxCap")?,
        ratio,
        // Netty's own kind of thread removes its variables itself from 4.1.18 on.
        owner_exit: if removes || (fast_threads && !netty.starts_with("4.0.")) {
            OwnerExit::RemoveAll
        } else {
            OwnerExit::Plain
        },
        ..preset.into()
    };
    if dialect.has_delayed() {
        config.max_shared_capacity_factor = small(cfg, "msf")?.max(1);
        config.max_delayed_queues_per_thread = Some(small(cfg, "mdq")?);
        config.link_capacity = small(statics, "LINK_CAPACITY")?;
        config.initial_capacity = small(statics, "INITIAL_CAPACITY")?;
        if dialect == Dialect::A2 {
            config.ratio = rounded(ratio)?; // to 4.1.49
            config.delayed_queue_ratio = config.ratio;
        } else {
            config.delayed_queue_ratio = small(cfg, "dqr")?;
        }
    } else {
        config.chunk_size = small(cfg, "chunk")?;
        config.close_on_removal = true; // 4.1.74+; no trace is older
        let fast_only = statics.get("BATCH_FAST_TL_ONLY").and_then(Value::as_bool).unwrap_or(true);
        config.owner_batch = dialect != Dialect::B1 && (fast_threads || !fast_only);
        if dialect == Dialect::B2 {
            config.batch_order = BatchOrder::Lifo; // 4.1.114+
        }
    }
    Ok(config)
}
