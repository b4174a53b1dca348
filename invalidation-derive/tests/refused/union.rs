use invalidation_derive::CacheKey;

#[derive(CacheKey)]
#[cache_key(crate = "invalidation_core")]
union Bits {
    signed: i64,
    unsigned: u64,
}

fn main() {}
