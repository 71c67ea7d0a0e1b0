-- The address of the focus: requests go to its account, answers come back.
local st = require "util.stanza";
local jid = require "util.jid";
local account = module:get_option_string("account");
local asked, count = {}, 0;
module:hook("iq/host", function (event)
	local stanza = event.stanza;
	local _, _, mark = jid.split(stanza.attr.to);
	if mark then
		local who = asked[mark];
		asked[mark] = nil;
		if who then
			local answer = st.clone(stanza);
			answer.attr.to, answer.attr.id, answer.attr.from = who.from, who.id, module.host;
			module:send(answer);
		end
		return true;
	end
	local user = prosody.bare_sessions[account];
	for _, session in pairs(user and user.sessions or {}) do
		count = count + 1;
		asked[tostring(count)] = { from = stanza.attr.from, id = stanza.attr.id };
		local request = st.clone(stanza);
		request.attr.to, request.attr.from = session.full_jid, module.host.."/"..count;
		module:send(request);
		return true;
	end
	return true; -- Clients ask again.
end, 10);
