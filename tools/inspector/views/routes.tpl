% rebase("layout.tpl", title="Routes", tab="Routes")
<h1>Routes</h1>
<section aria-labelledby="ask">
<h2 id="ask">What would be answered?</h2>
<form class="filters" action="routes" method="post">
<label>From<input name="from" autocomplete="off" inputmode="tel" placeholder="empty: withheld"></label>
<label>To<input name="to" required autocomplete="off" inputmode="tel" placeholder="the dialled number"></label>
<div class="buttons"><button>Explain</button></div>
</form>
% if answer:
% event, decision, cause = answer
<div class="answer" role="status">
<p>{{shown.number(event.caller)}} dials {{shown.number(event.dialled)}}.
% if decision.reason is None:
<strong>Connected by line {{decision.row_line}}: {{shown.number(decision.command.destination)}} is called and sees {{decision.command.masking_id}}.</strong></p>
% else:
<strong>refused: {{decision.reason}}.</strong> {{shown.sentence(cause)}}</p>
% end
<pre tabindex="0">{{shown.wire(decision.command.to_wire())}}</pre>
</div>
% end
</section>
% if faults:
<section aria-labelledby="faults">
<h2 id="faults">The allow-list has faults</h2>
<p>A server that runs keeps the last good list; none starts with this one.</p>
<ul class="faults">
% for fault in faults:
<li>{{fault}}</li>
% end
</ul>
</section>
% else:
<h2 id="list">Who may call whom</h2>
% if not rows:
<p class="none">{{"There are no more rows." if count else "The allow-list has no rows: every call is refused."}}</p>
% else:
<table aria-labelledby="list" class="routes">
<thead><tr role="row"><th role="columnheader" scope="col" class="number wide">Line</th><th role="columnheader" scope="col">Caller</th><th role="columnheader" scope="col">Dials</th><th role="columnheader" scope="col">Reaches</th>
<th role="columnheader" scope="col">Who sees</th><th role="columnheader" scope="col">State</th></tr></thead>
<tbody>
% for route, state, says in rows:
<tr role="row"><td role="cell" class="number wide">{{route.line}}</td><td role="cell">{{shown.number(route.caller) or "anyone"}}</td><td role="cell">{{shown.number(route.dialled)}}</td>
<td role="cell">{{shown.number(route.destination)}}
% if says:
<small>{{says}}</small>
% end
</td><td role="cell">{{route.masking_id}}</td>
<td role="cell"><span class="state {{state.split()[0].strip(",")}}">{{state}}</span></td></tr>
% end
</tbody>
</table>
% end
<p class="more">Rows {{f"{begin + bool(rows):,} to {begin + len(rows):,} of {count:,}"}}
% if begin:
<a href="routes?begin={{back}}">Back</a>
% end
% if begin + len(rows) < count:
<a href="routes?begin={{begin + len(rows)}}">More</a>
% end
</p>
% end
