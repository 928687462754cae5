% from tools.history.steps import describe_end
% from tools.history.times import in_minutes as minutes
% from tools.console import PARTIES, SERVER, TELESIGN
% from tools.inspector.drawing import TOP
% values = shown.view.record(call)
% rebase("layout.tpl", title=f"Call at {shown.time(call.began)}", tab="")
<div id="call"\\
% if is_live:
 data-live\\
% end
>
<div class="heading">
<h1>Call at {{shown.time(call.began)}}</h1>
<p><span class="outcome {{call.disposition.replace(" ", "-")}}">{{describe_end(call, shown.view)}}</span>
% if call.is_simulated:
<span class="simulated">simulated</span>
% end
</p>
</div>
<p class="id">{{call.reference_id}}</p>
% if is_live:
<p class="note">This page renews itself until the call is over.</p>
% end
% for cause in dict.fromkeys(cause for _, cause in events if cause):
<p class="cause">{{cause}}</p>
% end
<dl class="saw">
<div><dt>The caller</dt><dd>{{shown.number(call.caller) or "unknown"}}</dd>
<dd class="note">dialled and sees {{shown.number(call.dialled) or "an unknown number"}}</dd></div>
<div><dt>The called person</dt>
% if call.masking_id:
<dd>{{shown.number(call.destination)}}</dd><dd class="note">sees {{call.masking_id}}</dd>
% else:
<dd>nobody</dd><dd class="note">no dial is in the log</dd>
% end
</div>
% if call.row is not None:
<div><dt>The row</dt><dd>line {{call.row}}</dd>
<dd class="note">of the list as it was</dd></div>
% end
% if call.external_id:
<div><dt>The order</dt><dd>{{values["external_id"]}}</dd><dd class="note">its external_id</dd></div>
% end
% if call.wait_s is not None:
<div><dt>Wait</dt><dd>{{minutes(call.wait_s)}}</dd><dd class="note">until the answer</dd></div>
% end
% if call.talk_s is not None:
<div><dt>Talk</dt><dd>{{minutes(call.talk_s)}}</dd><dd class="note">from the answer to the end</dd></div>
% end
</dl>
<div class="drawing">
% numbers = (shown.number(call.caller), shown.number(call.dialled), "", shown.number(call.destination))
% for name, scale, drawn in drawings:
% height = drawn[-1][1] + 26
<svg class="{{name}}" viewBox="0 0 {{scale.width}} {{height}}" role="img" aria-labelledby="drawn-{{name}}">
<title id="drawn-{{name}}">What passed between the caller, TeleSign, this server and the called person; the events below say the same in words</title>
<defs><marker id="head-{{name}}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto" markerUnits="userSpaceOnUse"><path d="M0 0 8 4 0 8z"/></marker></defs>
% for place, (party, number) in enumerate(zip(PARTIES, numbers)):
% x = scale.lane(place)
<line class="life" x1="{{x}}" y1="{{TOP - 12}}" x2="{{x}}" y2="{{height}}"/>
<text class="party" x="{{x}}" y="20">{{"This server" if party == "Server" else party}}</text>
<text class="digits" x="{{x}}" y="38">{{number}}</text>
% end
% for arrow, height, lines in drawn:
% x1, x2 = scale.lane(arrow.sender), scale.lane(arrow.receiver)
% is_wire = {arrow.sender, arrow.receiver} == {SERVER, TELESIGN}
<g class="{{"phone" if not is_wire else "event" if arrow.sender == TELESIGN else "answer"}}">
% for y, text in lines:
<text x="{{(x1 + x2) // 2}}" y="{{y}}">{{text}}</text>
% end
<line x1="{{x1}}" y1="{{height}}" x2="{{x2}}" y2="{{height}}" marker-end="url(#head-{{name}})"/>
</g>
% end
</svg>
% end
</div>
<h2>Events</h2>
<ol class="events">
% for stored, _ in events:
% told = shown.view.event(stored)
<li>
<div class="heading"><h3>{{told["event"]}}</h3>
<time datetime="{{told["first_seen"]}}">{{told["first_seen"]}}</time></div>
<p>Answer: <strong>{{told["reply"]}}</strong>\\
% if told["reason"]:
, reason: <strong>{{told["reason"]}}</strong>\\
% end
% if told["deliveries"] > 1:
. Delivered {{told["deliveries"]}} times, last at {{told["last_seen"]}}\\
% end
.</p>
<details><summary>JSON of event and answer</summary>
<div class="json">
<figure><figcaption>TeleSign's event</figcaption><pre tabindex="0">{{shown.body(stored.body) if stored.body else "purged"}}</pre></figure>
<figure><figcaption>Our answer</figcaption><pre tabindex="0">{{shown.wire(stored.reply)}}</pre></figure>
</div></details>
</li>
% end
</ol>
<h2>Record</h2>
% hidden = ("reference_id", "simulated", "caller", "dialled", "destination", "masking_id", "row", "external_id", "number")
<dl class="record">
% for name, value in values.items():
% if name not in hidden and value not in (None, ""):
<div><dt>{{name.removesuffix("_s").replace("_", " ")}}</dt><dd>{{value}}{{" s" if name.endswith("_s") else ""}}</dd></div>
% end
% end
</dl>
% if legs:
<h2 id="legs">Legs</h2>
<table aria-labelledby="legs" class="legs">
<thead><tr><th scope="col">Direction</th><th scope="col">From</th><th scope="col">To</th><th scope="col" class="wide">Created</th>
<th scope="col" class="wide">Answered</th><th scope="col" class="wide">Ended</th></tr></thead>
<tbody>
% for leg in shown.view.cell("legs", tuple(legs)):
<tr><td>{{leg["direction"] or "unknown"}}</td><td>{{leg["from_number"]}}</td><td>{{leg["to_number"]}}</td>
% for name in ("created", "answered", "ended"):
<td class="wide">{{leg[name] or ""}}</td>
% end
</tr>
% end
</tbody>
</table>
% end
</div>
