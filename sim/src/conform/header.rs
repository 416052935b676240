//! The header of a trace, as far as every domain has it.
//!
//! **Invariant: parameters come from the header, rules from the preset of the release's generation.**

use super::difference::cut;
use millpond_model::recycler::Collect;
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

/// What was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    Recycler,
    Allocator,
}

/// What every header says.
pub struct Header {
    /// The release.
    pub netty: String,
    pub dialect: Dialect,
    /// Name of the configuration.
    pub name: String,
    pub domain: Domain,
    /// Threads at the beginning.
    pub threads: u64,
    /// Whether the threads are of Netty's own class.
    pub fast_threads: bool,
    /// Whether a thread drops its thread-local pools before it ends.
    pub removes_at_exit: bool,
    /// The configuration.
    pub cfg: Fields,
    /// Effective constants of the process.
    pub statics: Fields,
}

/// Threads and recyclers of a trace at most: the file is not trusted.
pub const MAX_COUNT: u64 = 1000;

impl Header {
    /// Reads a header.
    pub fn read(header: &Value) -> Result<Self, String> {
        if header.get("fmt").and_then(Value::as_str) != Some("netty-lockstep/1") {
            return Err("it is not a trace of format netty-lockstep/1".into());
        }
        let fields = |name: &str| Fields(header.get(name).cloned().unwrap_or_default());
        let top = Fields(header.clone());
        let (cfg, statics) = (fields("cfg"), fields("statics"));
        let dialect = match top.text("gen")? {
            "A1" => Dialect::A1,
            "A2" => Dialect::A2,
            "A3" => Dialect::A3,
            "B1" => Dialect::B1,
            "B2" => Dialect::B2,
            "C" => Dialect::C,
            other => return Err(format!("unknown generation `{}`", cut(other))),
        };
        let domain = match cfg.text("domain")? {
            "recycler" => Domain::Recycler,
            "alloc" => Domain::Allocator,
            other => return Err(format!("unknown domain `{}`", cut(other))),
        };
        let netty = top.text("netty")?.to_owned();
        let fast_threads = cfg.number("ftl")? == 1;
        // Netty's own kind of thread removes its variables itself from 4.1.18 on.
        let removes_at_exit = cfg.text("exit")? == "removeAll" || (fast_threads && !netty.starts_with("4.0."));
        Ok(Self {
            name: cfg.text("name")?.to_owned(),
            threads: cfg.at_most("threads", MAX_COUNT)?,
            netty,
            dialect,
            domain,
            fast_threads,
            removes_at_exit,
            cfg,
            statics,
        })
    }
}

impl Header {
    /// What the collector does with what a dead thread had.
    pub fn collect(&self) -> Collect {
        let keeps = self.fast_threads && !self.removes_at_exit && self.netty.starts_with("4.0.");
        if keeps { Collect::WithheldByThread } else { Collect::Withheld }
    }
}

/// Named values of a header.
pub struct Fields(Value);

impl Fields {
    /// A text.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).and_then(Value::as_str).ok_or_else(|| format!("the header has no text `{name}`"))
    }

    /// Yes or no, if it is said.
    pub fn truth(&self, name: &str) -> Option<bool> {
        self.0.get(name).and_then(Value::as_bool)
    }

    /// A number; a negative one counts as 0, as in Netty.
    pub fn number(&self, name: &str) -> Result<u64, String> {
        let value = self.0.get(name).and_then(Value::as_i64);
        let value = value.ok_or_else(|| format!("the header has no number `{name}`"))?;
        Ok(u64::try_from(value).unwrap_or(0))
    }

    /// A number with a limit.
    pub fn at_most(&self, name: &str, limit: u64) -> Result<u64, String> {
        match self.number(name)? {
            n if n <= limit => Ok(n),
            n => Err(format!("`{name}` is {n}, and the limit is {limit}")),
        }
    }

    /// A number of 32 bits.
    pub fn small(&self, name: &str) -> Result<u32, String> {
        let limit = u64::from(u32::MAX);
        Ok(u32::try_from(self.at_most(name, limit)?).unwrap_or_else(|_| unreachable!("it is within the limit")))
    }
}
