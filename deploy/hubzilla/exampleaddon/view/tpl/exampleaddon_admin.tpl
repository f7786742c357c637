<input type="hidden" name="form_security_token" value="{{$form_security_token}}">
{{foreach $news as $sentence}}<div class="alert alert-warning" role="alert">{{$sentence|escape}}</div>{{/foreach}}
{{if $mail}}<div class="alert alert-danger" role="alert">{{$mail|escape}}</div>{{/if}}
<p>{{$state|escape}}</p>
<p><button class="btn btn-primary" type="submit" name="post_all" value="1">{{$post_all}}</button></p>
{{if $waits}}
<h3>{{$waiting_title}}</h3>
<ul>
	{{foreach $waits as $one}}<li><code>{{$one.reference|escape}}</code> {{$one.since|escape}}: {{$one.detail|escape}}</li>
	{{/foreach}}
</ul>
{{/if}}
{{if $refused}}
<h3>{{$refused_title}}</h3>
<ul>
	{{foreach $refused as $one}}<li><code>{{$one.name|escape}}</code>: {{$one.detail|escape}} {{$one.errors|escape}}</li>
	{{/foreach}}
</ul>
{{/if}}
<div class="mb-3">
	<label for="id_{{$heads_channel.0}}">{{$heads_channel.1}}</label>
	<input class="form-control" type="text" name="{{$heads_channel.0}}" id="id_{{$heads_channel.0}}" value="{{$heads_channel.2|escape}}">
	<small class="form-text text-muted">{{$heads_channel.3}}</small>
</div>
<button class="btn btn-primary" type="submit">{{$save}}</button>
