-- Gives the log another epoch, if it still has the one that is known to be wrong.
-- ARGV: version, the wrong epoch, the new one.
local key = KEYS[1]
local role = server()
if role ~= 'master' then return 0 end
local _, version, epoch, name = mark(key)
if version ~= ARGV[1] or epoch ~= ARGV[2] then return 0 end
mark_with(key, version, ARGV[3])
redis.call('XGROUP', 'DESTROY', key, name)
return 1
