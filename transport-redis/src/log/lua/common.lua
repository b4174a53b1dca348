-- A reply of names and values in turn, by name.
local function named(reply)
  local found = {}
  for at = 1, #reply, 2 do found[reply[at]] = reply[at + 1] end
  return found
end

-- Whether this server leads, and the name of its history: another one whenever its past may have changed. And whether it took
-- over from another, which may not know of it yet; one that only began anew ended the one before with its own start.
local function server()
  local info = redis.call('INFO', 'replication')
  local before = string.match(info, 'master_replid2:(%x+)')
  return string.match(info, 'role:(%a+)'), string.match(info, 'master_replid:(%x+)'),
    before and string.find(before, '[^0]') and true or false
end

-- The log's mark is the name of a consumer group: it lives and dies with the stream, and no trim takes it.
-- The type of the key, and whether it holds what no log does; the mark's version, epoch and name when there is one.
local function mark(key)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'stream' then return kind end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
    local name = named(group).name
    local version, epoch = string.match(name, '^invalidation%-log:(%d+):(%x+)$')
    if version then return kind, version, epoch, name end
  end
  local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  local row = newest and named(newest[2])
  if row and not (row.nonce and row.scope) then return 'stream of something else' end
  return kind
end

-- The time in an epoch: those that a server gives grow.
local function time_of(epoch)
  return tonumber(string.sub(epoch, 1, 16), 16) or 0
end

-- Marks it with an epoch above that which the caller has seen, if any: a time of this server, and a random number.
local function mark_with(key, version, random, seen)
  local now = redis.call('TIME')
  local time = math.max(now[1] * 1000000 + now[2], time_of(seen) + 1)
  local epoch = string.format('%016x', time) .. random
  redis.call('XGROUP', 'CREATE', key, 'invalidation-log:' .. version .. ':' .. epoch, '0', 'MKSTREAM')
  return epoch
end

-- The nonce among the fields of a row, empty when there is none; no log's own is longer.
local function nonce_of(fields)
  return string.sub(named(fields).nonce or '', 1, 64)
end
