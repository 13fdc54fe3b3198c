-- The sandbox of scripts, set up once per interpreter and run before any script.
--
-- What a script sees is an empty table whose metatable looks into the real globals: so every
-- assignment to a global is noticed and refused, also to one that exists. The libraries are shown
-- the same way. `pcall` and its relatives hand out what Rust functions raise as Lua values; they
-- never let a script catch the end that SCRIPT KILL puts to it.

local native, libraries, loading_library, deprecated_api = ...

local error, getmetatable, ipairs, next, pairs = error, getmetatable, ipairs, next, pairs
local pcall, rawget, rawset, select, setmetatable = pcall, rawget, rawset, select, setmetatable
local tonumber, tostring, type, unpack = tonumber, tostring, type, unpack
local xpcall = xpcall
local resume = coroutine.resume
local find, gsub, sub = string.find, string.gsub, string.sub
local caught, caught_text, handler = native.caught, native.caught_text, native.handler

local READONLY = "Attempt to modify a readonly table"
-- Matching recurses in C once per item of the pattern; longer ones could use up the stack.
local PATTERN_BYTES_MAX = 4000
-- Lua's own bound. `unpack` counts with C integers, which may overflow: it must not be asked for more.
local RESULTS_MAX = 8000
local INTEGER_MIN, INTEGER_MAX = -2147483648, 2147483647

local real_of, shown_metatable = {}, {}

local function refuse()
  error(READONLY, 2)
end

-- An empty table that shows `real` and refuses changes.
local function protect(real, metatable)
  local proxy = setmetatable({}, { __index = real, __newindex = refuse, __metatable = false })
  real_of[proxy] = real
  shown_metatable[proxy] = metatable
  return proxy
end

-- Ends a call of a C function made on a script's behalf: its error is located where the script
-- called, and names the function.
local function finish(name, ok, ...)
  if ok then
    return ...
  end
  local failure = ...
  if type(failure) ~= "string" then
    error(failure, 0)
  end
  if find(failure, "^user_%a+:%d+: ") or find(failure, "^%[string ") then
    error(failure, 0)
  end
  failure = gsub(failure, "to '%?'", "to '" .. name .. "'", 1)
  error(failure, 3)
end

local function matching(name)
  local f = string[name]
  return function(...)
    local pattern = select("#", ...) > 1 and (select(2, ...)) or nil
    if type(pattern) == "string" and #pattern > PATTERN_BYTES_MAX then
      error("pattern too complex", 2)
    end
    return finish(name, pcall(f, ...))
  end
end

local string_library = {}
for name, f in pairs(string) do
  string_library[name] = f
end
for _, name in ipairs({ "find", "match", "gsub", "gmatch" }) do
  string_library[name] = matching(name)
end
string_library.gfind = string_library.gmatch

local globals = {}
local shows_globals = { __index = globals, __newindex = refuse, __metatable = false }
local environment = setmetatable({}, shows_globals)
real_of[environment] = globals

local function plain(...)
  for _, name in ipairs({ ... }) do
    globals[name] = _G[name]
  end
end
plain("assert", "error", "gcinfo", "ipairs", "rawequal", "select", "tonumber", "tostring")
plain("type", "_VERSION")

-- It asks no metatable: what all scripts share is looked for here. Arguments that are right need no `pcall`.
local insert = table.insert
local function inserting(...)
  local t, at, value = ...
  if real_of[t] then
    error(READONLY, 0)
  end
  local count = select("#", ...)
  if count == 2 and type(t) == "table" then
    return insert(t, at)
  end
  if count == 3 and type(t) == "table" and type(at) == "number" then
    return insert(t, at, value)
  end
  return finish("insert", pcall(insert, ...))
end

globals._G = environment
globals.loadstring = native.loadstring
globals.string = protect(string_library)
for _, name in ipairs({ "table", "math", "os" }) do
  local library = {}
  for key, value in pairs(_G[name]) do
    if name ~= "os" or key == "clock" then
      library[key] = value
    end
  end
  if name == "table" then
    library.insert = inserting
  elseif name == "math" then
    library.random, library.randomseed = native.random, native.randomseed
  end
  globals[name] = protect(library)
end
for name, library in pairs(libraries) do
  globals[name] = protect(library)
end

local function after(ok, ...)
  if ok then
    return true, ...
  end
  return false, caught((...))
end

local function after_pcall(ok, ...)
  if ok then
    return true, ...
  end
  return false, caught_text((...))
end

function globals.pcall(...)
  return after_pcall(pcall(...))
end

function globals.xpcall(f, user_handler)
  return after(xpcall(f, function(failure)
    return user_handler(caught(failure))
  end))
end

local coroutines = {}
for name, f in pairs(coroutine) do
  coroutines[name] = f
end
function coroutines.resume(...)
  return after(resume(...))
end
globals.coroutine = protect(coroutines)

function globals.load(reader, name)
  local parts = {}
  if type(reader) ~= "function" then
    local found = reader == nil and "nil" or type(reader)
    error("bad argument #1 to 'load' (function expected, got " .. found .. ")", 2)
  end
  while true do
    local part = reader()
    if part == nil or part == "" then
      break
    end
    if type(part) ~= "string" then
      error("reader function must return a string", 2)
    end
    parts[#parts + 1] = part
  end
  return native.loadstring(table.concat(parts), name or "=(load)")
end

function globals.collectgarbage(option, argument)
  if option == "stop" or option == "restart" then
    return 0
  end
  return finish("collectgarbage", pcall(collectgarbage, option, argument))
end

local function is_integer(number)
  return number >= INTEGER_MIN and number <= INTEGER_MAX
end

function globals.unpack(...)
  local t, first, last = ...
  if type(t) ~= "table" then
    return finish("unpack", pcall(unpack, ...))
  end
  first = first == nil and 1 or tonumber(first)
  last = last == nil and #t or tonumber(last)
  if not (first and last) then
    return finish("unpack", pcall(unpack, ...))
  end
  if not (is_integer(first) and is_integer(last) and last - first < RESULTS_MAX) then
    error("too many results to unpack", 2)
  end
  return unpack(...)
end

local function table_expected(name, ...)
  local found = select("#", ...) == 0 and "no value" or type((...))
  error("bad argument #1 to '" .. name .. "' (table expected, got " .. found .. ")", 3)
end

function globals.next(...)
  local t, key = ...
  if type(t) ~= "table" then
    return finish("next", pcall(next, ...))
  end
  if key == nil then
    return next(real_of[t] or t)
  end
  return finish("next", pcall(next, real_of[t] or t, key))
end

-- Of what is protected only the content is handed out: with the table itself, one script could change
-- what all others call.
function globals.pairs(...)
  local t = ...
  if type(t) ~= "table" then
    table_expected("pairs", ...)
  end
  return real_of[t] and globals.next or next, t, nil
end

function globals.rawget(...)
  local t, key = ...
  if type(t) ~= "table" then
    table_expected("rawget", ...)
  end
  return rawget(real_of[t] or t, key)
end

function globals.rawset(...)
  local t = ...
  if real_of[t] then
    error(READONLY, 0)
  end
  return finish("rawset", pcall(rawset, ...))
end

function globals.setmetatable(...)
  local t = ...
  if t ~= nil and real_of[t] then
    error(READONLY, 0)
  end
  return finish("setmetatable", pcall(setmetatable, ...))
end

function globals.getmetatable(...)
  local t = ...
  if t ~= nil and real_of[t] then
    return shown_metatable[t]
  end
  return finish("getmetatable", pcall(getmetatable, ...))
end

-- Environments only of functions that scripts made: those here must keep theirs. What newproxy makes is
-- a table, because a userdata could have code run by the collector.
if deprecated_api then
  local getfenv, setfenv = getfenv, setfenv
  local theirs = setmetatable({ [environment] = true }, { __mode = "k" })

  -- The environment of a function, or of one so many levels up as the caller counts them.
  local function environment_of(f)
    local at = type(f) == "number" and f > 0 and f + 3 or f
    local ok, found = pcall(getfenv, at)
    if not ok then
      error("bad argument #1 to 'getfenv' (invalid level)", 3)
    end
    return found
  end

  function globals.getfenv(f)
    local found = environment_of(f == nil and 1 or f)
    return theirs[found] and found or environment
  end

  function globals.setfenv(f, t)
    if type(t) ~= "table" then
      error("bad argument #2 to 'setfenv' (table expected, got " .. type(t) .. ")", 2)
    end
    if f == 0 or real_of[t] and t ~= environment or not theirs[environment_of(f)] then
      error("'setfenv' cannot change environment of given object", 2)
    end
    theirs[t] = true
    return setfenv(type(f) == "number" and f + 1 or f, t)
  end

  function globals.newproxy(like)
    return setmetatable({}, like == true and {} or nil)
  end
end

local missing = {
  __index = function(_, name)
    local shown = tostring(name)
    error("Script attempted to access nonexistent global variable '" .. shown .. "'", 2)
  end,
}
setmetatable(globals, missing)
shown_metatable[environment] = protect({ __index = missing.__index })

local of_strings = getmetatable("")
of_strings.__index = string_library
of_strings.__metatable = protect({ __index = globals.string })

local function run(f, keys, arguments)
  globals.KEYS, globals.ARGV = keys, arguments
  return xpcall(f, handler)
end

local running, running_keys, running_arguments
local function call_running()
  return running(running_keys, running_arguments)
end

-- Functions of libraries take their keys and arguments as parameters.
local function run_function(f, keys, arguments)
  running, running_keys, running_arguments = f, keys, arguments
  return xpcall(call_running, handler)
end

-- A library being loaded sees `redis` with little in it, and nothing else.
local loading_globals = setmetatable({}, missing)
if loading_library then
  loading_globals.redis = protect(setmetatable(loading_library, missing))
  loading_globals.server = loading_globals.redis
end
local function set_loading(on)
  shows_globals.__index = on and loading_globals or globals
end

return environment, set_loading, run, run_function
