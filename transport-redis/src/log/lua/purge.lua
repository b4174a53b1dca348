-- Deletes the oldest rows that are older than the retention, never the newest.
-- ARGV: the retention in microseconds, nothing for none at all; at most how many rows.
local key = KEYS[1]
local role, history = server()
if role ~= 'master' then return {role} end
local kind, version = mark(key)
if not version then return {role, history, kind} end
if version ~= ARGV[3] then return {role, history, kind, version} end
local function number(row) return tonumber(string.match(row[1], '^(%d+)')) end
local function id(number) return string.format('%.0f-0', number) end
local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
if not oldest then return {role, history, kind, version, 0, 0} end
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local low, high = number(oldest), number(newest)
if ARGV[1] ~= '' then
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local clock = string.sub(history, 1, 8)
  -- An age is told by the clock alone that stamped the row. What was stamped under another history came before all that
  -- was stamped under this one. A row from the future was stamped by a clock that has since been set back.
  local function age(row)
    local fields = named(row[2])
    local at = tonumber(fields.at)
    if fields.clock ~= clock or not at then return nil end
    if at <= now - tonumber(ARGV[1]) or at > now + 60000000 then return 'old' end
    return 'young'
  end
  local first = low
  while low < high do
    local row = redis.call('XRANGE', key, id(math.floor((low + high) / 2)), '+', 'COUNT', 1)[1]
    if number(row) >= high then
      high = math.floor((low + high) / 2)
    elseif age(row) == 'young' then
      high = math.min(number(row), high)
    else
      low = number(row) + 1
    end
  end
  local before = redis.call('XREVRANGE', key, '(' .. id(low), '-', 'COUNT', 1)[1]
  if not before or age(before) ~= 'old' then return {role, history, kind, version, 0, 0} end
  high, low = low, first
end
local cut = math.min(high, low + tonumber(ARGV[2]))
local deleted = 0
if cut > low then deleted = redis.call('XTRIM', key, 'MINID', id(cut)) end
return {role, history, kind, version, deleted, cut < high and 1 or 0}
