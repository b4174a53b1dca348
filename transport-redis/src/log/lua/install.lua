-- ARGV: the version that is wanted, an epoch in case that there is none.
local key = KEYS[1]
local role, history = server()
if role ~= 'master' then return {role} end
local kind, version, epoch = mark(key)
if kind ~= 'none' and kind ~= 'stream' then return {role, history, kind} end
if not version then
  version, epoch = ARGV[1], ARGV[2]
  mark_with(key, version, epoch)
end
return {role, history, 'stream', version, epoch}
